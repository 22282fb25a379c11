"""The reference server: takes metrics over HTTP and keeps them in PostgreSQL."""
