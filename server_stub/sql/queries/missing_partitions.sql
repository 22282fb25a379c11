-- The partitions that inserts need today and tomorrow and that are not there.
SELECT wanted.partition_name
FROM (
    SELECT to_char((now() AT TIME ZONE 'UTC')::date + ahead, '"metric_"YYYY_MM_DD') AS partition_name
    FROM generate_series(0, 1) AS ahead
) AS wanted
WHERE NOT EXISTS (
    SELECT FROM pg_inherits AS i
    WHERE i.inhparent = 'noetl.metric'::regclass
        AND i.inhrelid = to_regclass('noetl.' || quote_ident(wanted.partition_name))
)
ORDER BY wanted.partition_name
