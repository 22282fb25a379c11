-- From now on no batch is taken for the component, and what has begun goes on.
UPDATE noetl.runtime
SET status = 'deleting', updated_at = now()
WHERE runtime_id = %(runtime_id)s
RETURNING runtime_id
