ORDER BY m.timestamp ASC, m.metric_id ASC
LIMIT %(limit)s
