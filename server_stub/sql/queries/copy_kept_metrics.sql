SELECT noetl.copy_kept_metrics(%(partition_name)s)
