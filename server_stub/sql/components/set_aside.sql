-- Waits for the batches of the component that are under way, because a name is part of a key. The
-- name is free for a client that registers anew meanwhile.
UPDATE noetl.runtime
SET
    status = 'deleting',
    name = CASE
        WHEN right(name, length(suffix)) = suffix THEN name
        ELSE name || suffix
    END,
    updated_at = now()
FROM (SELECT ' (deleting ' || %(runtime_id)s || ')' AS suffix) AS given
WHERE runtime_id = %(runtime_id)s
RETURNING left(name, -length(suffix)), component_type
