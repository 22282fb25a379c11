-- The last value of every series of a metric, added up by job type and outcome. The demo compares
-- the totals with these workers' own reports.
SELECT
    coalesce(job_type, '') AS job_type,
    coalesce(status, '') AS status,
    coalesce(exception, '') AS exception,
    sum(metric_value) AS total
FROM (
    SELECT DISTINCT ON (m.labels)
        m.labels ->> 'job_type' AS job_type,
        m.labels ->> 'status' AS status,
        m.labels ->> 'exception' AS exception,
        metric_value
    FROM noetl.metric AS m
    JOIN noetl.runtime AS r USING (runtime_id)
    WHERE r.name = %(component)s
        AND metric_name = %(metric_name)s
        AND m.labels ->> 'worker_id' = ANY (%(worker_ids)s)
    ORDER BY m.labels, timestamp DESC
) AS last_values
GROUP BY job_type, status, exception
