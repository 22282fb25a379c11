SELECT
    extract(EPOCH FROM r.retention)::float8,
    coalesce(
        (
            SELECT jsonb_object_agg(b.name_pattern, extract(EPOCH FROM b.retention)::float8)
            FROM noetl.metric_retention_by_name AS b
        ),
        '{}'
    )
FROM noetl.metric_retention AS r
