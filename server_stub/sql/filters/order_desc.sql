ORDER BY m.timestamp DESC, m.metric_id DESC
LIMIT %(limit)s
