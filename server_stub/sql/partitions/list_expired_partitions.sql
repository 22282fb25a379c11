SELECT noetl.list_expired_metric_partitions()
