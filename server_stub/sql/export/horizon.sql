-- The last id that was handed out, or 0.
SELECT coalesce(
    pg_sequence_last_value(pg_get_serial_sequence('noetl.metric', 'metric_id')::regclass), 0
)
