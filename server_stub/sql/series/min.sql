-- The lowest sample of the bucket that is a number; NaN if none is.
points AS (
    SELECT
        group_id,
        bucket,
        coalesce(min(metric_value) FILTER (WHERE metric_value <> 'NaN'), 'NaN') AS value
    FROM numbered
    GROUP BY group_id, bucket
)

