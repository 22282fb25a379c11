-- What is not settled is sent again.
UPDATE noetl.metric_export
SET position = settled, marked = settled, marked_at = now()
