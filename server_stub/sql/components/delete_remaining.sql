-- What another program has inserted beside the deletion. The bounds are constants when the query is
-- planned: the days before are not even locked.
WITH gone AS (
    DELETE FROM noetl.metric AS m
    WHERE m.runtime_id = %(runtime_id)s
        AND m.created_at > %(created_after)s::timestamptz
        AND m.created_at <= %(created_until)s::timestamptz
    RETURNING 1
)
SELECT count(*) FROM gone
