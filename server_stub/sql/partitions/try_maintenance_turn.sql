-- Servers and worker processes do it one at a time, and none waits for another. The lock goes with
-- the transaction: nothing of a session is left behind in a connection that pgbouncer shares.
SELECT pg_try_advisory_xact_lock(hashtextextended('noetl.metric maintenance', 0))
