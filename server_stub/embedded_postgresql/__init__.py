"""A PostgreSQL for servers that are given no database: its programs, their user, its cluster."""
