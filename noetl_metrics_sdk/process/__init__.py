"""Threads, forks, signals and the end of the worker's process; knows nothing of metrics."""
