-- The partitions that DETACH PARTITION CONCURRENTLY has begun to detach, oldest first.
SELECT c.relname::text
FROM pg_inherits AS i
INNER JOIN pg_class AS c ON i.inhrelid = c.oid
WHERE i.inhparent = 'noetl.metric'::regclass AND i.inhdetachpending
ORDER BY c.relname
