-- Every aggregation of `GET /api/metrics/series` begins with the samples of one metric, each with
-- the start of its bucket. After this file come history.sql, if there is a history; numbering.sql,
-- which gives numbers to series and groups; one of the other files here, which makes `points` of
-- the samples; and answer.sql.
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
        AND (%(boundary)s::timestamptz IS NULL OR m.timestamp >= %(boundary)s::timestamptz)
        AND m.created_at
            >= %(start_time)s::timestamptz
                - make_interval(
                    secs => %(looking_back_seconds)s::float8 + %(sample_ahead_seconds)s::float8
                )
        AND m.created_at > now() - %(retention)s::interval
        -- These are constants when the query is planned: partitions beyond them are not locked.
        AND m.created_at > %(created_after)s::timestamptz
        AND m.created_at <= %(created_until)s::timestamptz
        AND (%(runtime_id)s::bigint IS NULL OR m.runtime_id = %(runtime_id)s::bigint)
        AND (%(metric_type)s::text IS NULL OR m.metric_type = %(metric_type)s::text)
        AND (%(labels)s::jsonb IS NULL OR m.labels @> %(labels)s::jsonb)
        -- A label with an empty value is no label.
        AND NOT EXISTS (
            SELECT FROM jsonb_array_elements_text(%(labels_absent)s::jsonb) AS absent (name)
            WHERE coalesce(m.labels ->> absent.name, '') <> ''
        )
        AND (
            %(component_name)s::text IS NULL
            OR m.runtime_id = ANY(ARRAY(
                SELECT r.runtime_id FROM noetl.runtime AS r WHERE r.name = %(component_name)s::text
            ))
        )
