-- The latest sample of each series that is no older than the lookback. The bound on created_at
-- prunes the partitions. It also hides samples of a clock in the future, which would stay for ever,
-- and a row with a time that no page can hold hides no other.
-- A component that is being deleted has another name already, which must not make new series.
-- PostgreSQL writes the labels as text for these rows only, and not for all rows among which it looks.
SELECT
    newest.runtime_id,
    newest.component_name,
    newest.component_type,
    newest.metric_name,
    newest.metric_type,
    newest.metric_value,
    newest.labels::text AS labels,
    newest.help_text,
    newest.unit,
    newest.taken_at
FROM (
    SELECT DISTINCT ON (m.metric_name, m.runtime_id, m.labels)
        m.runtime_id,
        r.name AS component_name,
        r.component_type,
        m.metric_name,
        m.metric_type,
        m.metric_value,
        m.labels,
        m.help_text,
        m.unit,
        -- The parts of a histogram have to be of one moment.
        CASE m.metric_type WHEN 'histogram' THEN extract(EPOCH FROM m.timestamp)::float8 END AS taken_at
    FROM noetl.metric AS m
    INNER JOIN noetl.runtime AS r ON m.runtime_id = r.runtime_id
    WHERE m.created_at > now() - %(lookback)s::interval
        AND m.timestamp > now() - %(lookback)s::interval
        AND m.timestamp < '10000-01-01 00:00Z'
        AND r.status <> 'deleting'
