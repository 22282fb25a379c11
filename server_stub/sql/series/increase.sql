-- How much each series has grown from one sample to the next, in the bucket of the later one. If a
-- value is below the one before, the counter began anew at 0. Of samples at one time, the one that
-- came last counts. Values that are no finite numbers are no counts.
counts AS (
    SELECT DISTINCT ON (series_id, timestamp)
        series_id,
        group_id,
        timestamp,
        bucket,
        metric_value
    FROM numbered
    WHERE metric_value NOT IN ('NaN', 'Infinity', '-Infinity')
    ORDER BY series_id, timestamp, metric_id DESC
),

steps AS (
    SELECT
        group_id,
        bucket,
        metric_value,
        lag(metric_value) OVER (PARTITION BY series_id ORDER BY timestamp) AS previous_value
    FROM counts
),

points AS (
    SELECT
        group_id,
        bucket,
        sum(
            CASE
                WHEN metric_value >= previous_value THEN metric_value - previous_value
                ELSE metric_value
            END
        ) AS value
    FROM steps
    WHERE previous_value IS NOT NULL
    GROUP BY group_id, bucket
)

