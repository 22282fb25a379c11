ORDER BY m.metric_id DESC
LIMIT %(limit)s
