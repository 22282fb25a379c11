INSERT INTO noetl.metrics_schema_migration (name) VALUES (%(name)s)
