-- A process is heard of: it runs, or it says that it ends. A value that it leaves out stays as it
-- was. A process that is new is recorded only if its component has fewer than the most: then no row
-- is returned. So is none for the goodbye of a process whose worker_id a younger process has.
INSERT INTO noetl.runtime_process AS known (
    runtime_id, worker_id, hostname, pid, sdk_version, started_at, heartbeat_interval_seconds,
    last_heard_at, expected_until, ended_at
)
SELECT
    %(runtime_id)s, %(worker_id)s, %(hostname)s::text, %(pid)s::bigint, %(sdk_version)s::text,
    %(started_at)s::timestamptz, %(heartbeat_interval)s::float8, now(),
    now() + %(intervals_until_lost)s
        * make_interval(secs => coalesce(%(heartbeat_interval)s::float8, %(default_interval)s)),
    CASE WHEN %(ends)s THEN now() END
WHERE
    EXISTS (
        SELECT FROM noetl.runtime_process AS p
        WHERE p.runtime_id = %(runtime_id)s AND p.worker_id = %(worker_id)s
    )
    OR (
        SELECT count(*) FROM noetl.runtime_process AS p WHERE p.runtime_id = %(runtime_id)s
    ) < %(processes_max)s
ON CONFLICT (runtime_id, worker_id) DO UPDATE SET
    hostname = coalesce(excluded.hostname, known.hostname),
    pid = coalesce(excluded.pid, known.pid),
    sdk_version = coalesce(excluded.sdk_version, known.sdk_version),
    started_at = coalesce(excluded.started_at, known.started_at),
    heartbeat_interval_seconds = coalesce(
        excluded.heartbeat_interval_seconds, known.heartbeat_interval_seconds
    ),
    last_heard_at = now(),
    expected_until = now() + %(intervals_until_lost)s * make_interval(
        secs => coalesce(
            excluded.heartbeat_interval_seconds, known.heartbeat_interval_seconds,
            %(default_interval)s
        )
    ),
    ended_at = excluded.ended_at,
    lost_at = NULL
WHERE excluded.ended_at IS NULL OR NOT excluded.started_at < known.started_at
    OR excluded.started_at IS NULL OR known.started_at IS NULL
RETURNING worker_id
