-- A value that a repeated registration leaves out stays as it is, also a part of `runtime`. A
-- component that registers is ready unless it says otherwise.
INSERT INTO noetl.runtime AS known (
    runtime_id, name, component_type, base_url, status, labels, capabilities, capacity,
    runtime, last_heartbeat, created_at, updated_at
)
VALUES (
    %(runtime_id)s, %(name)s, %(component_type)s, %(base_url)s, %(status)s, %(labels)s,
    %(capabilities)s, %(capacity)s, %(runtime)s, now(), now(), now()
)
ON CONFLICT (component_type, name) DO UPDATE SET
    base_url = coalesce(excluded.base_url, known.base_url),
    status = excluded.status,
    labels = coalesce(excluded.labels, known.labels),
    capabilities = coalesce(excluded.capabilities, known.capabilities),
    capacity = coalesce(excluded.capacity, known.capacity),
    runtime = coalesce(
        CASE WHEN jsonb_typeof(known.runtime) = 'object' THEN known.runtime || excluded.runtime END,
        excluded.runtime,
        known.runtime
    ),
    last_heartbeat = now(),
    updated_at = now()
RETURNING runtime_id
