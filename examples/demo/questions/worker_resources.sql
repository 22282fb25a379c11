-- The CPU time and memory of each worker process, as its system-metrics thread has read them.
SELECT
    m.labels ->> 'worker_id' AS worker_id,
    round((max(metric_value) FILTER (WHERE metric_name = 'process_cpu_seconds_total'))::numeric, 2)
        AS cpu_seconds,
    round(
        (max(metric_value) FILTER (WHERE metric_name = 'process_cpu_usage_percent'))::numeric, 1
    ) AS cpu_percent_max,
    round(
        (max(metric_value) FILTER (WHERE metric_name = 'process_resident_memory_bytes'))::numeric
        / 1048576,
        1
    ) AS memory_mib_max
FROM noetl.metric AS m
JOIN noetl.runtime AS r USING (runtime_id)
WHERE r.name = %(component)s AND metric_name LIKE 'process\_%%'
GROUP BY worker_id
ORDER BY worker_id
