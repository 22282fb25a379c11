DELETE FROM noetl.metric_batch
WHERE updated_at < now() - interval '7 days'
