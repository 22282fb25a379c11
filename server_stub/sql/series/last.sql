-- The newest sample of the bucket that is a number. Of two at one time, the one that came later.
points AS (
    SELECT DISTINCT ON (group_id, bucket)
        group_id,
        bucket,
        metric_value AS value
    FROM numbered
    ORDER BY group_id, bucket, metric_value = 'NaN', timestamp DESC, metric_id DESC
)

