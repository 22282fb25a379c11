"""Every row goes from PostgreSQL to the time-series database, in turns."""
