-- A partition that is being detached is none any more, one partition that cannot be dropped does not
-- keep the others, and a session's settings do not change how bounds are read.

-- The attached partitions and their bounds. A bound that is no time, like MINVALUE, is NULL. A
-- partition that is being detached is left out, as inserts and queries pass it over. The patterns
-- have no backslash, which means something else if standard_conforming_strings is off.
CREATE OR REPLACE FUNCTION noetl.list_metric_partitions()
RETURNS TABLE (partition_name text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
    SELECT
        c.relname::text,
        substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM [(]''([^'']+)''[)]')::timestamptz,
        substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO [(]''([^'']+)''[)]')::timestamptz
    FROM pg_inherits AS i
    INNER JOIN pg_class AS c ON i.inhrelid = c.oid
    WHERE i.inhparent = 'noetl.metric'::regclass AND NOT i.inhdetachpending
$$;

-- Drops the expired partitions; returns those it dropped. If some rows of a partition live longer,
-- a partition with only these rows takes its place. A partition that is in use, or that something
-- depends on, is left for the next call, and a warning says so. The locks last until the transaction
-- ends, so a server that must not hold up inserts calls the functions for one partition once a
-- transaction instead.
CREATE OR REPLACE FUNCTION noetl.cleanup_expired_metrics() RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition_name text;
    rebuilt_name text;
    rebuilt_names jsonb := '{}';
    dropped text[] := '{}';
BEGIN
    -- One at a time, as each would keep what it has looked at from the others' swaps.
    PERFORM pg_advisory_xact_lock(hashtextextended('noetl.metric rebuild', 0));
    -- All copies come first: they take long, and noetl.metric is not locked yet.
    FOR partition_name IN SELECT noetl.list_expired_metric_partitions() LOOP
        BEGIN
            rebuilt_names := rebuilt_names
                || jsonb_build_object(partition_name, noetl.copy_kept_metrics(partition_name));
        EXCEPTION
            WHEN OTHERS THEN
                RAISE WARNING '% is left for the next cleanup: %', partition_name, SQLERRM;
        END;
    END LOOP;
    FOR partition_name IN SELECT noetl.list_expired_metric_partitions() LOOP
        rebuilt_name := rebuilt_names ->> partition_name;
        BEGIN
            IF rebuilt_name IS NOT NULL THEN
                PERFORM noetl.swap_kept_metrics(partition_name, rebuilt_name);
                RAISE NOTICE '% has the rows that are kept only', partition_name;
            ELSIF noetl.drop_expired_metric_partition(partition_name) THEN
                dropped := array_append(dropped, partition_name);
            END IF;
        EXCEPTION
            WHEN OTHERS THEN
                RAISE WARNING '% is left for the next cleanup: %', partition_name, SQLERRM;
                IF rebuilt_name IS NOT NULL THEN
                    EXECUTE format('DROP TABLE noetl.%I', rebuilt_name);
                END IF;
        END;
    END LOOP;
    RETURN dropped;
END
$$;
