-- At the end of each bucket, the sum of the latest samples of all series. A sample counts if it is
-- in the bucket or no older than the lookback, because clients report series that do not change
-- only once in a while. Only buckets in which the group has a sample have a sum.
latest AS (
    SELECT DISTINCT ON (series_id, bucket)
        series_id,
        group_id,
        bucket,
        timestamp,
        metric_value
    FROM numbered
    ORDER BY series_id, bucket, metric_value = 'NaN', timestamp DESC, metric_id DESC
),

held AS (
    SELECT
        group_id,
        metric_value,
        bucket AS first_bucket,
        -- A value holds until the next one, or until it is too old. least() ignores a NULL.
        greatest(
            bucket,
            least(
                lead(bucket) OVER (PARTITION BY series_id ORDER BY bucket)
                - make_interval(secs => %(step_seconds)s::float8),
                timestamp
                + make_interval(secs => %(lookback_seconds)s::float8)
                - make_interval(secs => %(step_seconds)s::float8)
                - interval '1 microsecond'
            )
        ) AS last_time
    FROM latest
),

sums AS (
    SELECT
        h.group_id,
        covered.bucket,
        sum(h.metric_value) AS value
    FROM held AS h
    CROSS JOIN LATERAL generate_series(
        h.first_bucket, h.last_time, make_interval(secs => %(step_seconds)s::float8)
    ) AS covered (bucket)
    WHERE h.metric_value <> 'NaN'
    GROUP BY h.group_id, covered.bucket
),

points AS (
    SELECT
        present.group_id,
        present.bucket,
        coalesce(s.value, 'NaN') AS value
    FROM (SELECT DISTINCT group_id, bucket FROM numbered) AS present
    LEFT JOIN sums AS s ON present.group_id = s.group_id AND present.bucket = s.bucket
)

