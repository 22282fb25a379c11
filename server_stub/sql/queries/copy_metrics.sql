COPY noetl.metric (
    runtime_id, metric_name, metric_type, metric_value, labels, help_text, unit, timestamp
) FROM STDIN
