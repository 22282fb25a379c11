SELECT noetl.swap_kept_metrics(%(partition_name)s, %(rebuilt_name)s)
