-- Inserts the row that says that metrics are exported. It does not wait for a row that is there.
INSERT INTO noetl.metric_export (hold) VALUES (%(hold)s::interval)
ON CONFLICT DO NOTHING
