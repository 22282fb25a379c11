-- Returns a row to the first request with this batch. A second request with the same key waits here
-- for the first one's transaction, and then gets no row.
INSERT INTO noetl.metric_batch AS known (boot_id, last_sequence, answer)
VALUES (%(boot_id)s, %(sequence)s, %(answer)s)
ON CONFLICT (boot_id) DO UPDATE SET
    last_sequence = excluded.last_sequence,
    answer = excluded.answer,
    updated_at = now()
WHERE known.last_sequence < excluded.last_sequence
RETURNING boot_id
