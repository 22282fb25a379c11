-- The bound on created_at prunes the partitions, and leaves out the expired rows if all rows have one
-- retention. If not, filters/unexpired_by_name.sql leaves out the others. A row with a time that no
-- answer can hold has no place in the order of a page.
SELECT
    m.metric_id,
    m.runtime_id,
    r.name AS component_name,
    r.component_type,
    m.metric_name,
    m.metric_type,
    m.metric_value,
    -- As text, because most rows of a page have the same labels, and the server reads each text once.
    m.labels::text AS labels,
    m.help_text,
    m.unit,
    to_char(m.timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
    to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at
FROM noetl.metric AS m
INNER JOIN noetl.runtime AS r ON m.runtime_id = r.runtime_id
WHERE m.created_at > now() - %(retention)s::interval
    AND m.timestamp >= '0001-01-01 00:00Z'
    AND m.timestamp < '10000-01-01 00:00Z'
