-- The partitions by time, without a look into them. How many rows there are is what PostgreSQL's own
-- statistics say, and NULL if these are not there yet. The size of a file is asked for of the newest
-- days only: a session keeps what it has once opened in memory. Older days get no rows any more, and
-- PostgreSQL notes their sizes when it analyzes them; days to come have no rows. A partition goes when
-- all of its rows have expired, and waits for the export for `hold` at most.
WITH partitions AS MATERIALIZED (
    SELECT
        c.oid AS id,
        c.reltoastrelid,
        c.reltuples,
        p.partition_name,
        p.lower_bound,
        p.upper_bound,
        coalesce(p.lower_bound > now(), false) AS is_to_come,
        row_number() OVER (
            PARTITION BY coalesce(p.lower_bound > now(), false)
            ORDER BY p.upper_bound DESC NULLS FIRST
        ) AS age
    FROM noetl.list_metric_partitions() AS p
    INNER JOIN pg_class AS c ON p.partition_name = c.relname
    INNER JOIN pg_inherits AS i ON c.oid = i.inhrelid AND i.inhparent = 'noetl.metric'::regclass
),

noted AS (
    SELECT
        part.id,
        sum(c.relpages) * current_setting('block_size')::bigint AS bytes
    FROM (
        SELECT partitions.id, partitions.id AS part_id FROM partitions
        UNION ALL
        SELECT partitions.id, partitions.reltoastrelid FROM partitions
        UNION ALL
        SELECT partitions.id, x.indexrelid
        FROM partitions
        INNER JOIN pg_index AS x ON partitions.id = x.indrelid
    ) AS part
    INNER JOIN pg_class AS c ON part.part_id = c.oid
    GROUP BY part.id
),

sized AS (
    SELECT
        partitions.*,
        pg_stat_get_live_tuples(partitions.id) AS live_rows,
        CASE
            WHEN partitions.is_to_come THEN noted.bytes::bigint
            WHEN partitions.age <= %(sizes_max)s::bigint THEN pg_total_relation_size(partitions.id)
            WHEN partitions.reltuples >= 0 THEN noted.bytes::bigint
        END AS bytes
    FROM partitions
    INNER JOIN noted ON partitions.id = noted.id
)

SELECT
    sized.partition_name AS name,
    to_char(sized.lower_bound AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "from",
    to_char(sized.upper_bound AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS until,
    CASE
        WHEN sized.reltuples >= 0 OR sized.live_rows > 0
            THEN greatest(sized.reltuples::bigint, sized.live_rows)
        WHEN sized.is_to_come THEN 0
    END AS rows_estimated,
    sized.bytes,
    to_char(
        (sized.upper_bound + r.retention) AT TIME ZONE 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    ) AS drops_at,
    to_char(
        (sized.upper_bound + greatest(r.retention + e.hold, r.retention, rules.longest))
        AT TIME ZONE 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    ) AS drops_at_latest
FROM sized
CROSS JOIN noetl.metric_retention AS r
LEFT JOIN noetl.metric_export AS e ON true
CROSS JOIN (SELECT max(b.retention) AS longest FROM noetl.metric_retention_by_name AS b) AS rules
ORDER BY sized.lower_bound NULLS FIRST, sized.partition_name
LIMIT %(partitions_max)s::bigint
