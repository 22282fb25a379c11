-- One row for each group: the values of its labels, the starts of its buckets in seconds since the
-- epoch, and their values. If there is one point more than allowed, there are too many. Each row has
-- how many series were left out, because their labels are no object.
SELECT
    groups.group_values,
    array_agg(extract(EPOCH FROM p.bucket)::float8 ORDER BY p.bucket) AS bucket_starts,
    array_agg(p.value ORDER BY p.bucket) AS bucket_values,
    (SELECT count(*) FROM found WHERE NOT is_valid) AS series_omitted
FROM (
    SELECT group_id, bucket, value
    FROM points
    WHERE bucket >= %(start_time)s::timestamptz
    LIMIT %(points_max)s::bigint + 1
) AS p
INNER JOIN (SELECT DISTINCT group_id, group_values FROM series) AS groups
    ON p.group_id = groups.group_id
GROUP BY groups.group_id, groups.group_values
ORDER BY groups.group_id
