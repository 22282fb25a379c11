UPDATE noetl.metric_export
SET position = 0, acknowledged = 0, settled = 0, marked = 0, marked_at = now(), horizon = 0
