-- The rows that query/select_metrics.sql leaves out because of their time. The index of the times has
-- them at its ends.
SELECT count(*)
FROM noetl.metric AS m
WHERE m.timestamp < '0001-01-01 00:00Z' OR m.timestamp >= '10000-01-01 00:00Z'
