-- The daily partitions: the name, the day and the size of each.
SELECT
    partition.relname AS partition,
    substring(pg_get_expr(partition.relpartbound, partition.oid) FROM 'FROM \(''(.{10})') AS day,
    pg_size_pretty(pg_total_relation_size(partition.oid)) AS size
FROM pg_inherits
JOIN pg_class AS partition ON partition.oid = inhrelid
WHERE inhparent = 'noetl.metric'::regclass
ORDER BY partition.relname
