-- The partitions by time, without a look into them. How many rows there are is what PostgreSQL's own
-- statistics say, and NULL if these are not there yet. A partition goes when all of its rows have
-- expired, and waits for the export for `hold` at most.
SELECT
    p.partition_name AS name,
    to_char(p.lower_bound AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "from",
    to_char(p.upper_bound AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS until,
    CASE
        WHEN sizes.bytes_of_rows = 0 THEN 0
        WHEN c.reltuples >= 0 OR live.row_count > 0
            THEN greatest(c.reltuples::bigint, live.row_count)
    END AS rows_estimated,
    sizes.bytes,
    to_char(
        (p.upper_bound + r.retention) AT TIME ZONE 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    ) AS drops_at,
    to_char(
        (p.upper_bound + greatest(r.retention + e.hold, r.retention, rules.longest))
        AT TIME ZONE 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    ) AS drops_at_latest
FROM noetl.list_metric_partitions() AS p
INNER JOIN pg_inherits AS i ON i.inhparent = 'noetl.metric'::regclass
INNER JOIN pg_class AS c ON i.inhrelid = c.oid AND p.partition_name = c.relname
CROSS JOIN noetl.metric_retention AS r
LEFT JOIN noetl.metric_export AS e ON true
CROSS JOIN (SELECT max(b.retention) AS longest FROM noetl.metric_retention_by_name AS b) AS rules
CROSS JOIN LATERAL (SELECT pg_stat_get_live_tuples(c.oid) AS row_count) AS live
CROSS JOIN LATERAL (
    SELECT
        pg_relation_size(c.oid) AS bytes_of_rows,
        pg_total_relation_size(c.oid) AS bytes
) AS sizes
ORDER BY p.lower_bound NULLS FIRST, p.partition_name
LIMIT %(partitions_max)s
