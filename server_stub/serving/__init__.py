"""Sockets, connections, worker processes, signals and the log, whatever is served."""
