SELECT noetl.count_unexported_metrics(%(partition_name)s::text)
