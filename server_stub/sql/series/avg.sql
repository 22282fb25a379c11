-- The average of the samples of the bucket that are numbers; NaN if none is. This does not use
-- avg(), which also sums up squares, and fails if they exceed what a double holds.
points AS (
    SELECT
        group_id,
        bucket,
        coalesce(
            sum(metric_value) FILTER (WHERE metric_value <> 'NaN')
            / nullif(count(*) FILTER (WHERE metric_value <> 'NaN'), 0),
            'NaN'
        ) AS value
    FROM numbered
    GROUP BY group_id, bucket
)

