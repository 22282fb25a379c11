SELECT noetl.create_metric_partitions_ahead(%(days_ahead)s::integer)
