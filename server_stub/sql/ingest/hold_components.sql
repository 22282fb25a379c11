-- The components of a batch. What is held can't be removed before the batch is committed, as the
-- foreign key has it for each row by itself.
SELECT runtime_id, name, component_type
FROM noetl.runtime
WHERE runtime_id = ANY(%(runtime_ids)s::bigint[]) OR name = %(name)s
ORDER BY runtime_id
FOR KEY SHARE
