        -- The newest samples of a metric within a part of the range.
        SELECT
            m.runtime_id,
            coalesce(m.labels, '{}') AS labels
        FROM noetl.metric AS m
        WHERE m.metric_name = %(metric_name)s
            AND m.timestamp >= part.start_time
            AND m.timestamp < part.end_time
            AND m.created_at > now() - %(retention)s::interval
            -- These are constants when the query is planned: partitions beyond them are not locked.
            AND m.created_at > %(created_after)s::timestamptz
            AND m.created_at <= %(created_until)s::timestamptz
            AND (%(metric_types)s::text[] IS NULL OR m.metric_type = ANY(%(metric_types)s::text[]))
            AND (%(runtime_id)s::bigint IS NULL OR m.runtime_id = %(runtime_id)s::bigint)
            AND (
                %(component_name)s::text IS NULL
                OR m.runtime_id = ANY(ARRAY(
                    SELECT r.runtime_id FROM noetl.runtime AS r
                    WHERE r.name = %(component_name)s::text
                ))
            )
        ORDER BY m.timestamp DESC
        LIMIT part.rows_max
