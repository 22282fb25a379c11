-- One server or worker process at a time marks what is silent; the lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('noetl.runtime sweep', 0))
