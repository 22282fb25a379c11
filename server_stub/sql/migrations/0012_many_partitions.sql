-- With thousands of partitions, making some ahead lists them once, and deleting a component looks
-- into those only that have rows of it.

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
        created := array_append(created, noetl.create_metric_partition(missing_day));
    END LOOP;
    RETURN array_remove(created, NULL);
END
$$;

-- Which of some partitions have rows of a component. The index of the components' metrics says so,
-- whatever the planner believes of a day that it knows nothing about.
CREATE OR REPLACE FUNCTION noetl.metric_partitions_of_runtime(
    owner_id bigint, partition_names text[]
) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    partition_name text;
    has_rows boolean;
    found_names text[] := '{}';
BEGIN
    FOREACH partition_name IN ARRAY partition_names LOOP
        BEGIN
            EXECUTE format(
                'SELECT EXISTS (SELECT FROM noetl.%I WHERE runtime_id = $1)', partition_name
            ) INTO has_rows USING owner_id;
            IF has_rows THEN
                found_names := array_append(found_names, partition_name);
            END IF;
        EXCEPTION
            WHEN undefined_table THEN -- another server has dropped it meanwhile
                NULL;
        END;
    END LOOP;
    RETURN found_names;
END
$$;
