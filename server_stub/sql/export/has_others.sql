-- Whether there are rows whose ids are larger than any that the sequence has handed out. This comes
-- before export/adopt.sql, so that a turn locks nothing that it does not change.
SELECT EXISTS (
    SELECT FROM noetl.metric AS m
    WHERE m.metric_id > (
        SELECT coalesce(
            pg_sequence_last_value(
                pg_get_serial_sequence('noetl.metric', 'metric_id')::regclass
            ),
            0
        )
    )
)
