SELECT p.partition_name
FROM noetl.list_metric_partitions() AS p
ORDER BY p.lower_bound
