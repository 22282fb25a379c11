-- How many rows of the pool have arrived.
SELECT count(*) AS rows
FROM noetl.metric AS m
JOIN noetl.runtime AS r USING (runtime_id)
WHERE r.name = %(component)s
