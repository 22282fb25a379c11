-- The room for locks that all sessions share, and what the partitions need of it.
SELECT
    current_setting('max_locks_per_transaction')::integer,
    current_setting('max_connections')::integer
    + current_setting('max_prepared_transactions')::integer,
    (SELECT count(*) FROM pg_index WHERE indrelid = 'noetl.metric'::regclass),
    (SELECT count(*) FROM pg_inherits WHERE inhparent = 'noetl.metric'::regclass)
