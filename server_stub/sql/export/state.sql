-- How far the export has come, as far as the database knows, and the last id that was handed out. An
-- id that no row has, because its transaction was rolled back, counts as a row. Before the receiver
-- has taken the first rows there is no row of the export.
SELECT
    e.only_row IS NOT NULL AS is_there,
    coalesce(e.acknowledged, 0),
    coalesce(e.settled, 0),
    last.id,
    greatest(last.id - coalesce(e.acknowledged, 0), 0),
    extract(EPOCH FROM e.hold)::float8
FROM (
    SELECT coalesce(
        pg_sequence_last_value(pg_get_serial_sequence('noetl.metric', 'metric_id')::regclass), 0
    ) AS id
) AS last
LEFT JOIN noetl.metric_export AS e ON true
