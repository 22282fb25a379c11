"""A second source: the host, the process and its container, read through psutil."""
