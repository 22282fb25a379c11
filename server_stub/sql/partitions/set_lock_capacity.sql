-- PostgreSQL takes no parameter here, so the server writes the number into the statement.
ALTER SYSTEM SET max_locks_per_transaction = %(locks)s
