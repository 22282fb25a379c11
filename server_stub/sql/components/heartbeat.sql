UPDATE noetl.runtime
SET status = 'ready', last_heartbeat = now(), updated_at = now()
WHERE component_type = %(component_type)s AND name = %(name)s
RETURNING runtime_id
