SELECT
    noetl.set_metric_retention(%(retention)s::interval),
    noetl.set_metric_retention_by_name(%(days_by_pattern)s::jsonb)
