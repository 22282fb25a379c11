SELECT metric_name, metric_type, help_text, unit
FROM noetl.metric_family
WHERE (%(metric_name)s::text IS NULL OR metric_name = %(metric_name)s::text)
    AND (%(metric_type)s::text IS NULL OR metric_type = %(metric_type)s::text)
