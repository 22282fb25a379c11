    AND m.metric_name = %(metric_name)s
