    ) AS samples
),

-- Series with labels that are no object are in no chart.
found AS MATERIALIZED (
    SELECT every.*
    FROM (
        SELECT newest.runtime_id, newest.labels FROM newest
        UNION
        SELECT sliced.runtime_id, sliced.labels FROM sliced
        UNION
        -- Those of the time-series database.
        SELECT read.runtime_id, read.labels::jsonb
        FROM unnest(
            %(history_runtime_ids)s::bigint[], %(history_labels)s::text[]
        ) AS read (runtime_id, labels)
    ) AS every
    WHERE jsonb_typeof(every.labels) = 'object'
),

-- A chart takes these three names for the component's own, whatever labels a series has. A label with
-- an empty value is no label.
pairs AS (
    SELECT
        own.name AS label_name,
        own.value AS label_value
    FROM found
    CROSS JOIN LATERAL jsonb_each_text(found.labels) AS own (name, value)
    WHERE own.value <> ''
        AND own.name NOT IN ('runtime_id', 'component_name', 'component_type')
    UNION
    SELECT
        added.name,
        added.value
    FROM noetl.runtime AS r
    CROSS JOIN LATERAL (
        VALUES
        ('runtime_id', r.runtime_id::text),
        ('component_name', r.name),
        ('component_type', r.component_type)
    ) AS added (name, value)
    WHERE r.runtime_id IN (SELECT found.runtime_id FROM found)
),
