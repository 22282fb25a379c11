SELECT last_sequence, answer
FROM noetl.metric_batch
WHERE boot_id = %(boot_id)s
