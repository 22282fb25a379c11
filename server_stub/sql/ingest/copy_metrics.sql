-- The columns are in the order in which copy_format.py writes them.
COPY noetl.metric (
    runtime_id, timestamp, metric_value, metric_name, metric_type, labels, help_text, unit
) FROM STDIN (FORMAT binary)
