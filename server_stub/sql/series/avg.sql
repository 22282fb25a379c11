-- Over the samples of the bucket that are numbers; NaN where none is. Not by avg(), which sums up
-- squares too and fails where they exceed what a double holds.
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

