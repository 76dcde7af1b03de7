"""The running half of the house: one module or package for each process of the fleet."""
