    AND m.metric_type = %(metric_type)s
