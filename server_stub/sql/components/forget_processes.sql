-- The processes that do not run and are as old as what they have reported.
DELETE FROM noetl.runtime_process AS p
USING noetl.metric_retention AS r
WHERE (p.ended_at IS NOT NULL OR p.expected_until <= now())
    AND p.last_heard_at < now() - r.retention
