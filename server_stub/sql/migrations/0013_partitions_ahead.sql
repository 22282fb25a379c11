-- Making a year of partitions ahead listed all partitions again for each of its days, which took as
-- long as making them.

-- Makes the partition of one UTC day and returns its name. Its caller has the lock of all that makes
-- partitions, and has seen that the day has none.
-- It is attached rather than created in place, which would lock out every insert meanwhile. If
-- there is a table of its name, perhaps a partition that was detached, that table is left alone:
-- the partition gets a number behind its name.
CREATE OR REPLACE FUNCTION noetl.attach_metric_partition(partition_date date) RETURNS text
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

-- Makes the partition of one UTC day. Returns its name, or NULL if it is there already.
CREATE OR REPLACE FUNCTION noetl.create_metric_partition(partition_date date) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
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
    RETURN noetl.attach_metric_partition(partition_date);
END
$$;

-- Makes the partitions from tomorrow up to `days_ahead` days ahead; returns those it made. It lists
-- the partitions once for all days: with ten years of them that takes some tenth of a second.
CREATE OR REPLACE FUNCTION noetl.create_metric_partitions_ahead(days_ahead integer) RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    missing_day date;
    created text[] := '{}';
BEGIN
    IF days_ahead IS NULL OR days_ahead NOT BETWEEN 1 AND 366 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'days_ahead must be from 1 to 366';
    END IF;
    -- The lock comes before the list: no other server makes one of these days meanwhile.
    PERFORM pg_advisory_xact_lock(hashtextextended('noetl.metric', 0));
    FOREACH missing_day IN ARRAY ARRAY(
        WITH attached AS MATERIALIZED (
            SELECT p.lower_bound, p.upper_bound FROM noetl.list_metric_partitions() AS p
        )
        SELECT today + day_offset
        FROM generate_series(1, days_ahead) AS day_offset
        WHERE NOT EXISTS (
            SELECT FROM attached AS a
            WHERE a.lower_bound <= (today + day_offset)::timestamptz
                AND a.upper_bound >= (today + day_offset + 1)::timestamptz
        )
        ORDER BY day_offset
    ) LOOP
        created := array_append(created, noetl.attach_metric_partition(missing_day));
    END LOOP;
    RETURN created;
END
$$;
