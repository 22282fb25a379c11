"""Station 5, carry: the seam for I/O, and HTTP behind it; the only importer of httpx."""
