-- The rows to export next, in the order of ids, each as one record: PostgreSQL sends the bytes of its
-- columns, and the server reads those that it has to (export/records.py). The columns before the
-- runtime have constant widths; those from there on are the same for all rows of a series. A row
-- with longer texts than text_bytes_max is NULL. A component that is being deleted has another name
-- already, which must not make new series.
SELECT
    CASE
        WHEN coalesce(octet_length(found.labels), 0) + coalesce(octet_length(found.help_text), 0)
            <= %(text_bytes_max)s::bigint
            THEN (
                found.metric_id,
                found.created_at,
                found.timestamp,
                found.metric_value,
                found.runtime_id,
                found.metric_name,
                found.labels,
                found.name,
                found.component_type,
                found.metric_type,
                found.help_text,
                found.unit
            )
    END AS record
FROM (
    SELECT
        m.metric_id,
        m.created_at,
        m.timestamp,
        m.metric_value,
        m.runtime_id,
        m.metric_name,
        m.labels::text AS labels,
        r.name,
        r.component_type,
        m.metric_type,
        m.help_text,
        m.unit
    FROM noetl.metric AS m
    INNER JOIN noetl.runtime AS r ON m.runtime_id = r.runtime_id
    WHERE m.metric_id > %(position)s::bigint
        AND m.metric_id <= %(horizon)s::bigint
        AND r.status <> 'deleting'
    ORDER BY m.metric_id
    LIMIT %(limit)s::bigint
) AS found
ORDER BY found.metric_id
