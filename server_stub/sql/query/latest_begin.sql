-- As many series as the bytes of a page allow, and how many there are. The largest are left out
-- first: a few that are huge must not hide the others.
SELECT
    runtime_id,
    component_name,
    component_type,
    metric_name,
    metric_type,
    metric_value,
    labels,
    help_text,
    unit,
    taken_at,
    series_count
FROM (
    SELECT
        weighed.*,
        count(*) OVER () AS series_count,
        sum(%(row_bytes)s::bigint + %(copies)s::bigint * weighed.text_bytes) OVER (
            ORDER BY
                weighed.text_bytes,
                weighed.metric_name COLLATE "C",
                weighed.runtime_id,
                weighed.labels COLLATE "C"
        ) AS bytes_through
    FROM (
        SELECT
            latest.*,
            coalesce(octet_length(latest.labels), 0) + coalesce(octet_length(latest.help_text), 0)
            + coalesce(octet_length(latest.unit), 0) AS text_bytes
        FROM (
