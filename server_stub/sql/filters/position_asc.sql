    AND (m.timestamp, m.metric_id) > (%(position_timestamp)s::timestamptz, %(position_metric_id)s::bigint)
