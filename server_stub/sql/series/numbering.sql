),

-- Another program may have inserted rows whose labels are no object: such series are left out, and
-- counted in the answer.
found AS MATERIALIZED (
    SELECT DISTINCT runtime_id, labels, jsonb_typeof(labels) = 'object' AS is_valid FROM samples
),

-- From here on series have numbers rather than labels, because every row is compared with them.
series AS MATERIALIZED (
    SELECT
        row_number() OVER () AS series_id,
        dense_rank() OVER (ORDER BY labelled.group_values) AS group_id,
        labelled.*
    FROM (
        SELECT
            found.runtime_id,
            found.labels,
            ARRAY(
                SELECT CASE wanted.name
                    WHEN 'runtime_id' THEN found.runtime_id::text
                    WHEN 'component_name' THEN r.name
                    WHEN 'component_type' THEN r.component_type
                    -- A missing label is the same as an empty one.
                    ELSE coalesce(found.labels ->> wanted.name, '')
                END
                FROM unnest(%(group_by)s::text[]) WITH ORDINALITY AS wanted (name, place)
                ORDER BY wanted.place
            ) COLLATE "C" AS group_values
        FROM found
        INNER JOIN noetl.runtime AS r ON found.runtime_id = r.runtime_id
        WHERE found.is_valid
    ) AS labelled
),

numbered AS (
    SELECT
        s.series_id,
        s.group_id,
        x.timestamp,
        x.metric_id,
        x.metric_value,
        x.bucket
    FROM samples AS x
    INNER JOIN series AS s ON x.runtime_id = s.runtime_id AND x.labels = s.labels
),

