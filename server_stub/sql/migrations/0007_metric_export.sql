-- The export by remote write: how far it has come, and what it holds back from being dropped.

-- One row where metrics are exported: all rows with a metric_id up to `position` are in the
-- receiver, and a partition that has others is kept for `hold` beyond the retention.
CREATE TABLE IF NOT EXISTS noetl.metric_export (
    only_row BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row),
    position BIGINT NOT NULL DEFAULT 0,
    hold INTERVAL NOT NULL CHECK (hold >= interval '0'),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
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
    unexported bigint;
BEGIN
    EXECUTE format(
        'SELECT count(*) FROM noetl.%I AS m INNER JOIN noetl.metric_export AS e '
        'ON m.metric_id > e.position',
        partition_name
    ) INTO unexported;
    RETURN unexported;
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
    exported bigint;
    held boolean;
BEGIN
    SELECT e.position INTO exported
    FROM noetl.metric_export AS e
    CROSS JOIN noetl.metric_retention AS r
    WHERE upper_bound > now() - r.retention - e.hold;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM noetl.%I WHERE metric_id > $1)', partition_name)
        INTO held USING exported;
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
