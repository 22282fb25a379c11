-- Has a row say that metrics are exported. One that is there is not waited for.
INSERT INTO noetl.metric_export (hold) VALUES (%(hold)s::interval)
ON CONFLICT DO NOTHING
