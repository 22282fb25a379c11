-- Forgets the processes of a component that do not run and were heard of longest ago.
DELETE FROM noetl.runtime_process AS p
WHERE p.runtime_id = %(runtime_id)s AND p.worker_id IN (
    SELECT o.worker_id
    FROM noetl.runtime_process AS o
    WHERE o.runtime_id = %(runtime_id)s AND (o.ended_at IS NOT NULL OR o.expected_until <= now())
    ORDER BY o.last_heard_at
    LIMIT %(rows)s
)
