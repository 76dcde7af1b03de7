"""The running half of the house: one module or package for each process of the fleet."""

import shared  # noqa: F401  # before NumPy: it says how many threads that may use
