ORDER BY m.metric_id ASC
LIMIT %(limit)s
