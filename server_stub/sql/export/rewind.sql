-- The export sends every row again that is not settled.
UPDATE noetl.metric_export
SET position = settled, marked = settled, marked_at = now()
