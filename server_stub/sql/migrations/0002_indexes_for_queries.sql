-- The indexes that the queries use, under their old names. Each is made anew for every partition,
-- and inserts wait meanwhile: about a second for a million rows.

-- Rows come in batches of one runtime, so block ranges tell them apart well enough for what is
-- left to this index; idx_metrics_runtime_name begins with the same column.
DROP INDEX IF EXISTS noetl.idx_metrics_runtime_id;
CREATE INDEX idx_metrics_runtime_id ON noetl.metric USING brin (runtime_id);

-- A metric, or one of a component, within a time, and in the order of time.
DROP INDEX IF EXISTS noetl.idx_metrics_name;
CREATE INDEX idx_metrics_name ON noetl.metric (metric_name, timestamp);
DROP INDEX IF EXISTS noetl.idx_metrics_runtime_name;
CREATE INDEX idx_metrics_runtime_name ON noetl.metric (runtime_id, metric_name, timestamp);

-- Containment only, for half of the entries.
DROP INDEX IF EXISTS noetl.idx_metrics_labels;
CREATE INDEX idx_metrics_labels ON noetl.metric USING gin (labels jsonb_path_ops);
