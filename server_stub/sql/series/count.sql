-- The count of all samples of the bucket, whatever their values.
points AS (
    SELECT group_id, bucket, count(*)::float8 AS value
    FROM numbered
    GROUP BY group_id, bucket
)

