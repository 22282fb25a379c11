-- What every aggregation of `GET /api/metrics/series` begins with: the samples of one metric, each
-- with the number of its series, the number of its group, and the start of its bucket. One of the
-- other files here follows, which makes `points` of them, and then answer.sql.
-- The bounds on created_at prune the partitions: no sample is further ahead of its insertion than
-- sample_ahead_seconds, and none outlives the retention.
WITH samples AS MATERIALIZED (
    SELECT
        m.runtime_id,
        coalesce(m.labels, '{}') AS labels,
        m.timestamp,
        m.metric_id,
        m.metric_value,
        date_bin(
            make_interval(secs => %(step_seconds)s::float8), m.timestamp, to_timestamp(0)
        ) AS bucket
    FROM noetl.metric AS m
    WHERE m.metric_name = %(metric_name)s
        AND m.timestamp
            >= %(start_time)s::timestamptz - make_interval(secs => %(looking_back_seconds)s::float8)
        AND m.timestamp < %(end_time)s::timestamptz
        AND m.created_at
            >= %(start_time)s::timestamptz
                - make_interval(
                    secs => %(looking_back_seconds)s::float8 + %(sample_ahead_seconds)s::float8
                )
        AND m.created_at > now() - %(retention)s::interval
        -- Rows have the expiry of names without a retention of their own.
        AND (m.expires_at > now() OR %(has_own_retention)s::boolean)
        AND (%(runtime_id)s::bigint IS NULL OR m.runtime_id = %(runtime_id)s::bigint)
        AND (%(metric_type)s::text IS NULL OR m.metric_type = %(metric_type)s::text)
        AND (%(labels)s::jsonb IS NULL OR m.labels @> %(labels)s::jsonb)
        AND (
            %(component_name)s::text IS NULL
            OR m.runtime_id = ANY(ARRAY(
                SELECT r.runtime_id FROM noetl.runtime AS r WHERE r.name = %(component_name)s::text
            ))
        )
),

-- Numbers rather than labels from here on: they are compared with every row.
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
                    -- A label that is missing is the same as one that is empty.
                    ELSE coalesce(found.labels ->> wanted.name, '')
                END
                FROM unnest(%(group_by)s::text[]) WITH ORDINALITY AS wanted (name, place)
                ORDER BY wanted.place
            ) COLLATE "C" AS group_values
        FROM (SELECT DISTINCT runtime_id, labels FROM samples) AS found
        INNER JOIN noetl.runtime AS r ON found.runtime_id = r.runtime_id
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

