-- A component is alive while a process of it runs, or if it was heard of by a heartbeat that names
-- no process a short time ago. Of its processes the list has those that run first, and then those
-- that were heard of last.
WITH processes AS (
    SELECT
        p.*,
        CASE
            WHEN p.ended_at IS NOT NULL THEN 'ended'
            WHEN p.expected_until <= now() THEN 'lost'
            ELSE 'running'
        END AS state
    FROM noetl.runtime_process AS p
),
counted AS (
    SELECT
        runtime_id,
        count(*) FILTER (WHERE state = 'running') AS running,
        count(*) FILTER (WHERE state = 'ended') AS ended,
        count(*) FILTER (WHERE state = 'lost') AS lost,
        max(last_heard_at) AS last_heard_at
    FROM processes
    GROUP BY runtime_id
),
placed AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY runtime_id ORDER BY state = 'running' DESC, last_heard_at DESC, worker_id
        ) AS place
    FROM processes
),
listed AS (
    SELECT *
    FROM placed
    WHERE place <= %(processes_per_component)s
    ORDER BY place
    LIMIT %(processes)s
),
documents AS (
    SELECT
        runtime_id,
        jsonb_agg(
            jsonb_build_object(
                'worker_id', worker_id,
                'hostname', hostname,
                'pid', pid,
                'sdk_version', sdk_version,
                'started_at',
                to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'last_heard_at',
                to_char(last_heard_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'ended_at',
                to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                'heartbeat_interval', heartbeat_interval_seconds,
                'state', state
            )
            ORDER BY place
        ) AS processes
    FROM listed
    GROUP BY runtime_id
)
SELECT
    r.runtime_id::text AS runtime_id,
    r.name,
    r.component_type AS kind,
    r.component_type,
    r.base_url,
    r.status,
    r.labels,
    r.capabilities,
    r.capacity,
    r.runtime,
    to_char(r.last_heartbeat AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS last_heartbeat,
    to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
    to_char(r.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
    r.status NOT IN ('offline', 'deleting') AND (
        coalesce(c.running, 0) > 0
        OR coalesce(
            r.last_heartbeat > coalesce(c.last_heard_at, '-infinity')
            AND r.last_heartbeat
            > now() - %(intervals_until_lost)s * make_interval(secs => %(default_interval)s),
            false
        )
    ) AS alive,
    jsonb_build_object(
        'running', coalesce(c.running, 0),
        'ended', coalesce(c.ended, 0),
        'lost', coalesce(c.lost, 0)
    ) AS process_counts,
    coalesce(d.processes, '[]') AS processes
FROM noetl.runtime AS r
LEFT JOIN counted AS c USING (runtime_id)
LEFT JOIN documents AS d USING (runtime_id)
ORDER BY r.component_type, r.name
LIMIT %(components)s
