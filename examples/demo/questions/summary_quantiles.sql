-- The size of the inputs by each worker's own sketch, within 1 percent. Quantiles of several
-- workers do not add up, so each worker has its own line.
SELECT DISTINCT ON (m.labels ->> 'worker_id', m.labels ->> 'quantile')
    m.labels ->> 'worker_id' AS worker_id,
    m.labels ->> 'quantile' AS quantile,
    -- A worker that had no job within the window has no quantile: NaN, which no integer holds.
    nullif(metric_value, 'NaN')::bigint AS bytes
FROM noetl.metric AS m
JOIN noetl.runtime AS r USING (runtime_id)
WHERE r.name = %(component)s AND metric_name = 'demo_input_bytes' AND m.labels ? 'quantile'
ORDER BY m.labels ->> 'worker_id', m.labels ->> 'quantile', timestamp DESC
