"""Station 1, count: the hot path, with a file for each instrument that users know."""
