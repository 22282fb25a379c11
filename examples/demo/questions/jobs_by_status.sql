-- How many jobs ended with each status: the last value of each series, added up over the workers.
SELECT job_type, status, exception, sum(metric_value)::bigint AS jobs
FROM (
    SELECT DISTINCT ON (m.labels)
        m.labels ->> 'job_type' AS job_type,
        m.labels ->> 'status' AS status,
        m.labels ->> 'exception' AS exception,
        metric_value
    FROM noetl.metric AS m
    JOIN noetl.runtime AS r USING (runtime_id)
    WHERE r.name = %(component)s AND metric_name = 'noetl_jobs_processed_total'
    ORDER BY m.labels, timestamp DESC
) AS last_values
GROUP BY job_type, status, exception
ORDER BY job_type, status, exception
