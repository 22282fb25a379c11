-- The age of the oldest row that has not been exported, and the time until its partition is dropped
-- all the same, both in seconds. If all rows are exported, the answer is for a row inserted now.
SELECT
    extract(epoch FROM now() - waiting.since)::float8 AS lag_seconds,
    extract(
        epoch FROM (date_trunc('day', waiting.since AT TIME ZONE 'UTC') + interval '1 day')
            AT TIME ZONE 'UTC' + r.retention + e.hold - now()
    )::float8 AS loss_in_seconds
FROM noetl.metric_export AS e
CROSS JOIN noetl.metric_retention AS r
CROSS JOIN LATERAL (
    SELECT coalesce(
        (
            SELECT m.created_at FROM noetl.metric AS m
            WHERE m.metric_id > e.acknowledged
            ORDER BY m.metric_id
            LIMIT 1
        ),
        now()
    ) AS since
) AS waiting
