-- The id up to which the export knows of every row stands beside its position, and no longer in the
-- memory of a server, which may outlive the state of the database that it is about.

ALTER TABLE noetl.metric_export ADD COLUMN IF NOT EXISTS horizon BIGINT NOT NULL DEFAULT 0;
