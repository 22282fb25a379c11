SELECT
    CASE
        WHEN p.ended_at IS NOT NULL THEN 'ended'
        WHEN p.expected_until <= now() THEN 'lost'
        ELSE 'running'
    END AS state,
    count(*)
FROM noetl.runtime_process AS p
GROUP BY state
