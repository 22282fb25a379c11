SELECT status, count(*)
FROM noetl.runtime
GROUP BY status
