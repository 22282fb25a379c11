-- The processes that are silent and were not when a server looked last: each is counted once.
UPDATE noetl.runtime_process AS p
SET lost_at = now()
FROM noetl.runtime AS r
WHERE r.runtime_id = p.runtime_id
    AND p.ended_at IS NULL AND p.lost_at IS NULL AND p.expected_until <= now()
RETURNING r.component_type || '/' || r.name
