-- What counts is a partition's bounds, and no longer its name: a table that has the name of a day's
-- partition and is none does not stop the inserts of that day. Locks nothing that anybody waits for.

-- The attached partitions and their bounds. One whose bounds are no times, as MINVALUE, has NULL.
CREATE OR REPLACE FUNCTION noetl.list_metric_partitions()
RETURNS TABLE (partition_name text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
    SELECT
        c.relname::text,
        substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']+)''\)')::timestamptz,
        substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz
    FROM pg_inherits AS i
    INNER JOIN pg_class AS c ON i.inhrelid = c.oid
    WHERE i.inhparent = 'noetl.metric'::regclass
$$;

-- Makes the partition of one UTC day. Returns its name, or NULL where it is there already.
-- It is attached rather than created in place, which would lock out every insert meanwhile. A table
-- that has its name, perhaps a partition that was detached, is left alone: the partition gets a
-- number behind its name.
CREATE OR REPLACE FUNCTION noetl.create_metric_partition(partition_date date) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
DECLARE
    day_name text := to_char(partition_date, '"metric_"YYYY_MM_DD');
    partition_name text := day_name;
    number integer := 1;
BEGIN
    IF partition_date IS NULL OR NOT isfinite(partition_date) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'partition_date must be a date';
    END IF;
    -- The servers of one database take turns; the lock goes with the transaction.
    PERFORM pg_advisory_xact_lock(hashtextextended('noetl.metric', 0));
    IF EXISTS (
        SELECT FROM noetl.list_metric_partitions() AS p
        WHERE p.lower_bound <= partition_date::timestamptz
            AND p.upper_bound >= (partition_date + 1)::timestamptz
    ) THEN
        RETURN NULL;
    END IF;
    WHILE to_regclass(format('noetl.%I', partition_name)) IS NOT NULL LOOP
        number := number + 1;
        partition_name := day_name || '_' || number;
    END LOOP;
    IF number > 1 THEN
        RAISE WARNING 'noetl.% is no partition of noetl.metric: the day''s partition is named %',
            day_name, partition_name;
    END IF;
    EXECUTE format(
        'CREATE TABLE noetl.%I (LIKE noetl.metric INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
        partition_name
    );
    EXECUTE format(
        'ALTER TABLE noetl.metric ATTACH PARTITION noetl.%I FOR VALUES FROM (%L) TO (%L)',
        partition_name,
        partition_date::timestamptz,
        (partition_date + 1)::timestamptz
    );
    RETURN partition_name;
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
    ORDER BY p.upper_bound
$$;
