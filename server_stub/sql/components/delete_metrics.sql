-- The time as text: it may be infinite, which Python has no value for.
SELECT deleted, last_name, last_time::text
FROM noetl.delete_metrics_of_runtime(
    %(partition_name)s, %(runtime_id)s, %(after_name)s, %(after_time)s::timestamptz, %(rows_max)s
)
