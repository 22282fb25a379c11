"""The other database: written by remote write, and read by its query API."""
