-- Whether there is a table noetl.metric whose metric_id has no sequence of its own.
SELECT
    to_regclass('noetl.metric') IS NOT NULL
    AND pg_get_serial_sequence('noetl.metric', 'metric_id') IS NULL
