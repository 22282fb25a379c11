    AND m.timestamp < %(end_time)s
