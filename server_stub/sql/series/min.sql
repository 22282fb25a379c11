-- Over the samples of the bucket that are numbers; NaN where none is.
points AS (
    SELECT
        group_id,
        bucket,
        coalesce(min(metric_value) FILTER (WHERE metric_value <> 'NaN'), 'NaN') AS value
    FROM numbered
    GROUP BY group_id, bucket
)

