-- The components of which nothing was heard for a while, neither by name nor by a process that runs.
UPDATE noetl.runtime AS r
SET status = 'offline', updated_at = now()
WHERE r.status NOT IN ('offline', 'deleting')
    AND r.last_heartbeat < now() - make_interval(secs => %(offline_after)s)
    AND NOT EXISTS (
        SELECT FROM noetl.runtime_process AS p
        WHERE p.runtime_id = r.runtime_id AND p.ended_at IS NULL AND p.expected_until > now()
    )
RETURNING r.component_type || '/' || r.name
