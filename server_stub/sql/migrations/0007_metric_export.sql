-- The export by remote write: how far it has come, and what it holds back from being dropped.

-- One row where metrics are exported. Rows with a metric_id after `position` are sent next; those
-- up to `acknowledged` have been before, and those up to `settled` for so long that the receiver
-- has them on disk. `marked`, reached at `marked_at`, is settled next. A partition that has rows
-- which are not settled is kept for `hold` beyond the retention.
CREATE TABLE IF NOT EXISTS noetl.metric_export (
    only_row BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row),
    position BIGINT NOT NULL DEFAULT 0,
    acknowledged BIGINT NOT NULL DEFAULT 0,
    settled BIGINT NOT NULL DEFAULT 0,
    marked BIGINT NOT NULL DEFAULT 0,
    marked_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    hold INTERVAL NOT NULL CHECK (hold >= interval '0')
);

-- What a time-series database does not say of its series: one row a name, the latest that was
-- exported.
CREATE TABLE IF NOT EXISTS noetl.metric_family (
    metric_name TEXT PRIMARY KEY,
    metric_type TEXT NOT NULL,
    help_text TEXT,
    unit TEXT
);

-- How many rows of a partition have not been exported; 0 where nothing is.
CREATE OR REPLACE FUNCTION noetl.count_unexported_metrics(partition_name text) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    acknowledged_id bigint;
    unexported bigint;
BEGIN
    SELECT e.acknowledged INTO acknowledged_id FROM noetl.metric_export AS e;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT count(*) FROM noetl.%I WHERE metric_id > $1', partition_name)
        INTO unexported USING acknowledged_id;
    RETURN unexported;
EXCEPTION
    WHEN undefined_table THEN -- another server has dropped it meanwhile
        RETURN 0;
END
$$;

-- Whether a partition is kept because not all of it has been exported.
CREATE OR REPLACE FUNCTION noetl.is_metric_partition_held(
    partition_name text, upper_bound timestamptz
) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settled_id bigint;
    held boolean;
BEGIN
    SELECT e.settled INTO settled_id
    FROM noetl.metric_export AS e
    CROSS JOIN noetl.metric_retention AS r
    WHERE upper_bound > now() - r.retention - e.hold;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM noetl.%I WHERE metric_id > $1)', partition_name)
        INTO held USING settled_id;
    RETURN held;
EXCEPTION
    WHEN undefined_table THEN -- another server has dropped it meanwhile
        RETURN false;
END
$$;

-- The partitions all of whose rows are past the retention, oldest first. What counts is a
-- partition's true upper bound, whatever its name.
CREATE OR REPLACE FUNCTION noetl.list_expired_metric_partitions() RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.partition_name
    FROM noetl.list_metric_partitions() AS p
    CROSS JOIN noetl.metric_retention AS r
    WHERE p.upper_bound <= now() - r.retention
        AND NOT noetl.is_metric_partition_held(p.partition_name, p.upper_bound)
    ORDER BY p.upper_bound
$$;
