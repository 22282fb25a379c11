
    UNION ALL

    -- The samples from the time-series database, each with the number of its series.
    SELECT
        s.runtime_id,
        s.labels::jsonb AS labels,
        x.timestamp,
        0 AS metric_id,
        x.metric_value,
        date_bin(
            make_interval(secs => %(step_seconds)s::float8), x.timestamp, to_timestamp(0)
        ) AS bucket
    FROM (
        SELECT
            series_number,
            -- Whole milliseconds become a time exactly.
            to_timestamp(0) + milliseconds * interval '1 millisecond' AS timestamp,
            metric_value
        FROM unnest(
            %(history_series_numbers)s::bigint[],
            %(history_milliseconds)s::bigint[],
            %(history_values)s::float8[]
        ) AS read (series_number, milliseconds, metric_value)
    ) AS x
    INNER JOIN unnest(
        %(history_runtime_ids)s::bigint[], %(history_labels)s::text[]
    ) WITH ORDINALITY AS s (runtime_id, labels, series_number)
        ON x.series_number = s.series_number
