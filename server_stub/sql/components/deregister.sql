UPDATE noetl.runtime
SET status = 'offline', updated_at = now()
WHERE component_type = %(component_type)s AND name = %(name)s
RETURNING runtime_id
