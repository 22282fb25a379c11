SELECT runtime_id
FROM noetl.runtime
WHERE name = %(component_name)s
LIMIT 2
