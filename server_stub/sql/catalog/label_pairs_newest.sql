-- Which labels the samples of a metric have, and with which values. The newest samples of the range
-- are looked at. If there are more, the range is cut into slices, and the newest samples of each are
-- looked at too: so most series are found that have ended before. No slice is begun after the
-- deadline. Here part_samples.sql follows, as it does after the next two files.
WITH newest AS MATERIALIZED (
    SELECT
        samples.runtime_id,
        samples.labels,
        count(*) AS sample_count
    FROM (
        SELECT
            %(start_time)s::timestamptz AS start_time,
            %(end_time)s::timestamptz AS end_time,
            %(newest_max)s::bigint AS rows_max
    ) AS part
    CROSS JOIN LATERAL (
