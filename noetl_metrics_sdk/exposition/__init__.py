"""Another way out: pages for Prometheus; the server imports the pure half of it."""
