"""The page for Prometheus, of kept series."""
