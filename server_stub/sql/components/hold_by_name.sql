-- The component, locked before its processes as a heartbeat locks it.
SELECT runtime_id
FROM noetl.runtime
WHERE component_type = %(component_type)s AND name = %(name)s
FOR NO KEY UPDATE
