UPDATE noetl.metric_export
SET position = %(position)s::bigint, hold = %(hold)s::interval, updated_at = now()
