-- Quantiles of the job durations over all workers. Histograms add up: the query adds the buckets of
-- all workers, and interpolates a quantile in the bucket that holds it, as PromQL's
-- histogram_quantile does.
WITH last_values AS (
    SELECT DISTINCT ON (m.labels)
        m.labels ->> 'job_type' AS job_type,
        (m.labels ->> 'le')::float8 AS upper_bound,
        metric_value
    FROM noetl.metric AS m
    JOIN noetl.runtime AS r USING (runtime_id)
    WHERE r.name = %(component)s AND metric_name = 'noetl_job_duration_seconds_bucket'
    ORDER BY m.labels, timestamp DESC
),
buckets AS (
    SELECT
        job_type,
        upper_bound,
        coalesce(lag(upper_bound) OVER by_bound, 0) AS lower_bound,
        sum(metric_value) AS upper_count,
        coalesce(lag(sum(metric_value)) OVER by_bound, 0) AS lower_count,
        max(sum(metric_value)) OVER (PARTITION BY job_type) AS jobs
    FROM last_values
    GROUP BY job_type, upper_bound
    WINDOW by_bound AS (PARTITION BY job_type ORDER BY upper_bound)
),
quantiles AS (
    SELECT
        job_type,
        jobs::bigint AS jobs,
        quantile,
        min(
            CASE
                WHEN upper_bound = 'infinity' THEN lower_bound
                ELSE lower_bound + (upper_bound - lower_bound)
                    * (quantile * jobs - lower_count) / (upper_count - lower_count)
            END
        ) AS seconds
    FROM buckets, unnest(ARRAY[0.5, 0.9, 0.99]) AS quantile
    WHERE lower_count < quantile * jobs AND upper_count >= quantile * jobs
    GROUP BY job_type, jobs, quantile
)
SELECT
    job_type,
    jobs,
    round(1000 * max(seconds) FILTER (WHERE quantile = 0.5)::numeric, 2) AS p50_ms,
    round(1000 * max(seconds) FILTER (WHERE quantile = 0.9)::numeric, 2) AS p90_ms,
    round(1000 * max(seconds) FILTER (WHERE quantile = 0.99)::numeric, 2) AS p99_ms
FROM quantiles
GROUP BY job_type, jobs
ORDER BY p99_ms DESC
