SELECT p.partition_name
FROM unnest(
    noetl.metric_partitions_of_runtime(%(runtime_id)s, %(partition_names)s::text[])
) AS p (partition_name)
