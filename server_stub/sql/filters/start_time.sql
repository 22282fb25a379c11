    AND m.timestamp >= %(start_time)s
