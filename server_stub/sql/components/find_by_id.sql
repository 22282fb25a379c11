SELECT runtime_id
FROM noetl.runtime
WHERE runtime_id = ANY(%(runtime_ids)s::bigint[])
