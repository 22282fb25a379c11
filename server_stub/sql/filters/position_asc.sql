    AND m.metric_id > %(position)s
