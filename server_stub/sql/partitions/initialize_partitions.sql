SELECT noetl.initialize_metric_partitions() || noetl.create_metric_partitions_ahead(%(days_ahead)s::integer)
