-- Remembers families, because the receiver does not. A family that has not changed is not written.
INSERT INTO noetl.metric_family AS f (metric_name, metric_type, help_text, unit)
SELECT
    new.metric_name,
    new.metric_type,
    new.help_text,
    new.unit
FROM unnest(
    %(metric_name)s::text[], %(metric_type)s::text[], %(help_text)s::text[], %(unit)s::text[]
) AS new (metric_name, metric_type, help_text, unit)
ORDER BY new.metric_name
ON CONFLICT (metric_name) DO UPDATE SET
    metric_type = excluded.metric_type,
    help_text = excluded.help_text,
    unit = excluded.unit
WHERE (f.metric_type, f.help_text, f.unit)
    IS DISTINCT FROM (excluded.metric_type, excluded.help_text, excluded.unit)
