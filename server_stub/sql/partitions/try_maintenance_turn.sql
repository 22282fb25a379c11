-- Servers and worker processes do maintenance one at a time, and none waits for another. The lock
-- ends with the transaction: it leaves nothing behind in a session that pgbouncer shares.
SELECT pg_try_advisory_xact_lock(hashtextextended('noetl.metric maintenance', 0))
