-- The columns are in the order of copy_format.py.
COPY noetl.metric (
    runtime_id, timestamp, metric_value, metric_name, metric_type, labels, help_text, unit
) FROM STDIN (FORMAT binary)
