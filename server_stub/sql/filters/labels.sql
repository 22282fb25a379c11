    AND m.labels @> %(labels)s
