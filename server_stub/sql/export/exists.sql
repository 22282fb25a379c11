SELECT FROM noetl.metric_export
