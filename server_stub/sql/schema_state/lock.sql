-- Servers that start on one database at once make its schema one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('noetl.metrics_schema_migration', 0))
