-- The rows to export next, in the order of ids. Times are in milliseconds, rounded down; a time that
-- is infinite has none. A component that is being deleted has another name already, which must not
-- make new series.
SELECT
    m.metric_id,
    m.runtime_id,
    m.metric_name,
    m.labels::text AS labels,
    m.metric_value,
    CASE
        WHEN isfinite(m.timestamp) THEN (extract(epoch FROM m.timestamp) * 1000000)::bigint / 1000
    END AS timestamp_ms,
    r.name AS component_name,
    r.component_type,
    m.metric_type,
    m.help_text,
    m.unit,
    CASE
        WHEN isfinite(m.timestamp)
            THEN (extract(epoch FROM m.created_at - m.timestamp) * 1000)::bigint
        ELSE 0
    END AS late_ms
FROM noetl.metric AS m
INNER JOIN noetl.runtime AS r ON m.runtime_id = r.runtime_id
WHERE m.metric_id > %(position)s::bigint
    AND m.metric_id <= %(horizon)s::bigint
    AND r.status <> 'deleting'
ORDER BY m.metric_id
LIMIT %(limit)s::bigint
