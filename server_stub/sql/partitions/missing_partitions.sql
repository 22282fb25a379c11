-- The partitions that inserts need today and tomorrow, and that are missing. A partition counts by
-- its bounds, whatever its name.
SELECT to_char(wanted.day, '"metric_"YYYY_MM_DD')
FROM (
    SELECT (now() AT TIME ZONE 'UTC')::date + ahead AS day
    FROM generate_series(0, 1) AS ahead
) AS wanted
WHERE NOT EXISTS (
    SELECT FROM noetl.list_metric_partitions() AS p
    WHERE p.lower_bound <= wanted.day::timestamp AT TIME ZONE 'UTC'
        AND p.upper_bound >= (wanted.day + 1)::timestamp AT TIME ZONE 'UTC'
)
ORDER BY wanted.day
