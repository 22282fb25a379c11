SELECT name FROM noetl.metrics_schema_migration
