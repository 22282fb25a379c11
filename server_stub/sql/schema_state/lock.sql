-- If several servers start on one database at once, they make its schema one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('noetl.metrics_schema_migration', 0))
