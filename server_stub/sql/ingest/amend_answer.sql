UPDATE noetl.metric_batch
SET answer = %(answer)s
WHERE boot_id = %(boot_id)s
