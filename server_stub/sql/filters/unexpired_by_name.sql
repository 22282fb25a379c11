    -- Only among old rows does the query look for names with a retention of their own. The rules begin
    -- with the longest.
    AND (
        m.created_at > now() - %(retention_unless_named)s::interval
        OR m.created_at > now() - (
            SELECT rule.retention
            FROM unnest(
                %(name_patterns)s::text[], %(name_retentions)s::interval[]
            ) WITH ORDINALITY AS rule (name_pattern, retention, place)
            WHERE m.metric_name = rule.name_pattern
                OR right(rule.name_pattern, 1) = '*'
                AND starts_with(m.metric_name, left(rule.name_pattern, -1))
            ORDER BY rule.place
            LIMIT 1
        )
    )
