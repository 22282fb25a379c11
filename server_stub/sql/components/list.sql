-- A component is alive while a process of it runs, or if it was heard of by a heartbeat that names
-- no process a short time ago. Of its processes the list has those that run first, and then those
-- that were heard of last. What components and processes say of themselves is shown as far as the
-- bytes of the answer allow; the documents are sent as text, because the server only hands them on.
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
measured AS (
    SELECT
        *,
        sum(%(process_bytes)s + octet_length(worker_id) + coalesce(octet_length(hostname), 0))
            OVER (ORDER BY place, runtime_id, worker_id) AS bytes_through
    FROM listed
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
    FROM measured
    WHERE bytes_through <= %(processes_bytes)s
    GROUP BY runtime_id
),
described AS (
    SELECT
        r.*,
        sum(
            coalesce(octet_length(r.base_url), 0) + coalesce(octet_length(r.labels::text), 0)
            + coalesce(octet_length(r.capabilities::text), 0)
            + coalesce(octet_length(r.runtime::text), 0)
        ) OVER (ORDER BY r.component_type, r.name) <= %(documents_bytes)s AS is_whole
    FROM noetl.runtime AS r
)
SELECT
    r.runtime_id::text AS runtime_id,
    r.name,
    r.component_type AS kind,
    r.component_type,
    CASE WHEN r.is_whole THEN r.base_url END AS base_url,
    r.status,
    CASE WHEN r.is_whole THEN r.labels::text END AS labels,
    CASE WHEN r.is_whole THEN r.capabilities::text END AS capabilities,
    r.capacity,
    CASE WHEN r.is_whole THEN r.runtime::text END AS runtime,
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
    coalesce(d.processes, '[]')::text AS processes,
    r.is_whole
FROM described AS r
LEFT JOIN counted AS c USING (runtime_id)
LEFT JOIN documents AS d USING (runtime_id)
ORDER BY r.component_type, r.name
LIMIT %(components)s
