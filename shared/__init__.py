"""The library half of the house: nothing in here ever starts a process or a server."""
