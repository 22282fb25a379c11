-- The names of metrics, by one look into the index for each.
WITH RECURSIVE names AS (
    (
        SELECT m.metric_name
        FROM noetl.metric AS m
        WHERE m.created_at > %(created_after)s::timestamptz
            AND m.created_at <= %(created_until)s::timestamptz
        ORDER BY m.metric_name
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT m.metric_name
        FROM noetl.metric AS m
        WHERE m.metric_name > names.metric_name
            AND m.created_at > %(created_after)s::timestamptz
            AND m.created_at <= %(created_until)s::timestamptz
        ORDER BY m.metric_name
        LIMIT 1
    )
    FROM names
    WHERE names.metric_name IS NOT NULL
)
(SELECT names.metric_name FROM names WHERE names.metric_name IS NOT NULL LIMIT %(names_max)s::bigint)
UNION
(SELECT f.metric_name FROM noetl.metric_family AS f LIMIT %(names_max)s::bigint)
