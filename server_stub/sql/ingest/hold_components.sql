-- The components of a batch. No transaction can remove them before the batch is committed. The
-- foreign key would lock them in the same way for each row. One that is being deleted is gone.
SELECT runtime_id, name, component_type
FROM noetl.runtime
WHERE (runtime_id = ANY(%(runtime_ids)s::bigint[]) OR name = %(name)s) AND status <> 'deleting'
ORDER BY runtime_id
FOR KEY SHARE
