-- Gives rows whose ids the sequence has not handed out, and that are larger, ids of the sequence:
-- another program has inserted them with ids of its own. The sequence is read after the snapshot is
-- taken, so every row that can be seen and has an id of the sequence is below its last value.
WITH numbered AS (
    SELECT
        foreign_row.metric_id,
        foreign_row.created_at,
        nextval(pg_get_serial_sequence('noetl.metric', 'metric_id')::regclass) AS own_id
    FROM (
        SELECT m.metric_id, m.created_at
        FROM noetl.metric AS m
        WHERE m.metric_id > (
            SELECT coalesce(
                pg_sequence_last_value(
                    pg_get_serial_sequence('noetl.metric', 'metric_id')::regclass
                ),
                0
            )
        )
        ORDER BY m.metric_id
        LIMIT %(limit)s::bigint
    ) AS foreign_row
)
UPDATE noetl.metric AS m
SET metric_id = numbered.own_id
FROM numbered
WHERE m.metric_id = numbered.metric_id AND m.created_at = numbered.created_at
