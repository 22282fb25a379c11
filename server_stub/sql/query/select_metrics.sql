-- The bound on created_at prunes the partitions. filters/unexpired.sql or
-- filters/unexpired_by_name.sql leaves out the other expired rows. If all rows are of one name that
-- has a retention of its own, the bound is enough.
SELECT
    m.metric_id,
    m.runtime_id,
    r.name AS component_name,
    r.component_type,
    m.metric_name,
    m.metric_type,
    m.metric_value,
    m.labels,
    m.help_text,
    m.unit,
    to_char(m.timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS timestamp,
    to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at
FROM noetl.metric AS m
INNER JOIN noetl.runtime AS r ON m.runtime_id = r.runtime_id
WHERE m.created_at > now() - %(retention)s::interval
