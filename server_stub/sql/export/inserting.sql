-- The transactions that may be inserting now; if `before` is given, only those that are in it.
SELECT DISTINCT l.virtualtransaction
FROM pg_locks AS l
WHERE l.locktype = 'relation'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.mode = 'RowExclusiveLock'
    AND l.granted
    AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND (
        l.relation = 'noetl.metric'::regclass
        OR l.relation IN (
            SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = 'noetl.metric'::regclass
        )
    )
    AND (
        %(before)s::text[] IS NULL OR l.virtualtransaction = ANY(%(before)s::text[])
    )
