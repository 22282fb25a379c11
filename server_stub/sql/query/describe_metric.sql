-- The types of a metric and the names of its labels, as its latest samples and the export have them.
WITH recent AS MATERIALIZED (
    SELECT m.metric_type, m.labels
    FROM noetl.metric AS m
    WHERE m.metric_name = %(metric_name)s
        AND m.created_at > %(created_after)s::timestamptz
        AND m.created_at <= %(created_until)s::timestamptz
    ORDER BY m.timestamp DESC
    LIMIT 200
)
SELECT
    ARRAY(
        SELECT recent.metric_type::text FROM recent
        UNION
        SELECT f.metric_type::text FROM noetl.metric_family AS f
        WHERE f.metric_name = %(metric_name)s
        ORDER BY 1
    ),
    ARRAY(
        SELECT DISTINCT jsonb_object_keys(recent.labels)
        FROM recent
        WHERE jsonb_typeof(recent.labels) = 'object'
        ORDER BY 1
    )
