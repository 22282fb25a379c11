SELECT to_regclass('noetl.metrics_schema_migration') IS NOT NULL
