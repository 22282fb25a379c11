SELECT noetl.set_metric_retention(%(retention)s::interval)
