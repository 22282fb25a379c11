    ) AS found
),

total AS (
    SELECT
        count(*) AS series_count,
        sum(%(row_bytes)s::bigint + %(copies)s::bigint * latest.text_bytes) AS series_bytes
    FROM latest
),

-- PostgreSQL executes one half of this only. To add up the bytes series by series takes it long.
fitting AS (
    SELECT latest.*
    FROM latest
    WHERE (SELECT total.series_bytes FROM total) <= %(page_bytes_max)s::bigint
    UNION ALL
    SELECT
        summed.runtime_id,
        summed.component_name,
        summed.component_type,
        summed.metric_name,
        summed.metric_type,
        summed.metric_value,
        summed.labels,
        summed.help_text,
        summed.unit,
        summed.taken_at,
        summed.text_bytes
    FROM (
        SELECT
            latest.*,
            sum(%(row_bytes)s::bigint + %(copies)s::bigint * latest.text_bytes) OVER (
                ORDER BY
                    latest.text_bytes,
                    latest.metric_name COLLATE "C",
                    latest.runtime_id,
                    latest.labels COLLATE "C"
            ) AS bytes_through
        FROM latest
    ) AS summed
    WHERE (SELECT total.series_bytes FROM total) > %(page_bytes_max)s::bigint
        AND summed.bytes_through <= %(page_bytes_max)s::bigint
),

by_name AS (
    SELECT
        encoded.metric_name,
        count(*) AS shown_count,
        string_agg(encoded.series, ''::bytea) AS series,
        string_agg(int4send(octet_length(encoded.series)), ''::bytea) AS lengths,
        string_agg(float8send(encoded.metric_value), ''::bytea) AS metric_values,
        string_agg(float8send(coalesce(encoded.taken_at, 'NaN')), ''::bytea) AS times
    FROM (
        SELECT
            fitting.metric_name,
            fitting.metric_value,
            fitting.taken_at,
            record_send((
                fitting.runtime_id,
                fitting.component_name,
                fitting.component_type,
                fitting.metric_type,
                fitting.labels,
                fitting.help_text,
                fitting.unit
            )) AS series
        FROM fitting
        -- Otherwise PostgreSQL would make the record twice.
        OFFSET 0
    ) AS encoded
    -- A series with long texts is a row by itself, so that no row takes much room.
    GROUP BY
        encoded.metric_name,
        CASE WHEN octet_length(encoded.series) > 4096 THEN encoded.series END
)

-- There is one row at least, so that the number of series is there even if none fits.
SELECT
    total.series_count,
    by_name.shown_count,
    by_name.metric_name,
    by_name.series,
    by_name.lengths,
    by_name.metric_values,
    by_name.times
FROM total
LEFT JOIN by_name ON true
