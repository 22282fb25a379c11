SELECT noetl.create_metric_partition((now() AT TIME ZONE 'UTC')::date + %(day_offset)s::integer)
