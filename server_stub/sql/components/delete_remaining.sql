-- What another program has inserted beside the deletion.
WITH gone AS (
    DELETE FROM noetl.metric WHERE runtime_id = %(runtime_id)s RETURNING 1
)
SELECT count(*) FROM gone
