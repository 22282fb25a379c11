SELECT runtime_id, component_type
FROM noetl.runtime
WHERE name = %(name)s
ORDER BY component_type
