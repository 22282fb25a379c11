    ) AS samples
    GROUP BY samples.runtime_id, samples.labels
),

progress AS (
    SELECT coalesce(sum(sample_count), 0) >= %(newest_max)s::bigint AS is_cut FROM newest
),

sliced AS (
    SELECT DISTINCT
        samples.runtime_id,
        samples.labels
    FROM (
        SELECT
            %(end_time)s::timestamptz - place * %(slice)s::interval AS start_time,
            %(end_time)s::timestamptz - (place - 1) * %(slice)s::interval AS end_time,
            %(slice_rows_max)s::bigint AS rows_max
        FROM generate_series(1, %(slices)s::integer) AS place
        WHERE (SELECT progress.is_cut FROM progress)
            AND clock_timestamp() < statement_timestamp() + %(look)s::interval
        OFFSET 0 -- keeps the look at the clock in here, once for each slice
    ) AS part
    CROSS JOIN LATERAL (
