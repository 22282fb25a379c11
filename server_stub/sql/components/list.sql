SELECT
    runtime_id::text AS runtime_id,
    name,
    component_type AS kind,
    component_type,
    base_url,
    status,
    labels,
    capabilities,
    capacity,
    runtime,
    to_char(last_heartbeat AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS last_heartbeat,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
    to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
FROM noetl.runtime
ORDER BY component_type, name
LIMIT %(limit)s
