    AND m.runtime_id = %(runtime_id)s
