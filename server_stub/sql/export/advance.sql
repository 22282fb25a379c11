-- The receiver has acknowledged the rows up to an id.
UPDATE noetl.metric_export AS e
SET
    position = %(position)s::bigint,
    acknowledged = greatest(e.acknowledged, %(position)s::bigint),
    settled = CASE WHEN due.is_due THEN least(e.marked, %(position)s::bigint) ELSE e.settled END,
    marked = CASE WHEN due.is_due THEN %(position)s::bigint ELSE e.marked END,
    marked_at = CASE WHEN due.is_due THEN now() ELSE e.marked_at END,
    hold = %(hold)s::interval,
    horizon = %(horizon)s::bigint
FROM (
    SELECT marked_at <= now() - %(settling)s::interval AS is_due FROM noetl.metric_export
) AS due
