SELECT noetl.drop_expired_metric_partition(%(partition_name)s)
