-- The transactions that have been open for a minute and hold a lock on noetl.metric or a partition:
-- a drop of an expired day has to wait for them.
SELECT a.pid, coalesce(nullif(a.application_name, ''), a.usename, '?'), a.state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::double precision
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
    AND a.pid <> pg_backend_pid()
    AND a.xact_start < clock_timestamp() - interval '1 minute'
    AND EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.pid = a.pid
            AND l.granted
            AND l.locktype = 'relation'
            AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
            AND (
                l.relation = to_regclass('noetl.metric')
                OR l.relation IN (
                    SELECT i.inhrelid FROM pg_inherits AS i
                    WHERE i.inhparent = to_regclass('noetl.metric')
                )
            )
    )
ORDER BY a.xact_start
