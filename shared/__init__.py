"""The library half of the house: nothing in here ever starts a process or a server."""

import os

# The matrices here are small: threads for them would spend more time waiting busily for each other
# than working. Read by OpenBLAS when NumPy is imported; an operator's value stands.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
