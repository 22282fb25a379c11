-- Some metrics may be kept longer than the others. Locks nothing that anybody waits for.

-- Which metrics are kept longer: a name, or the beginning of names and a '*'. The longest one that a
-- name has counts, and metric_retention where it has none, or where that is longer.
CREATE TABLE IF NOT EXISTS noetl.metric_retention_by_name (
    name_pattern TEXT PRIMARY KEY CHECK (name_pattern ~ '^[a-zA-Z_:][a-zA-Z0-9_:]*[*]?$'),
    retention INTERVAL NOT NULL CHECK (retention >= interval '1 hour')
);

-- How long the metric of a name is kept.
CREATE OR REPLACE FUNCTION noetl.metric_retention_of(metric_name text) RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(r.retention, (
        SELECT b.retention
        FROM noetl.metric_retention_by_name AS b
        WHERE b.name_pattern = $1
            OR right(b.name_pattern, 1) = '*' AND starts_with($1, left(b.name_pattern, -1))
        ORDER BY b.name_pattern = $1 DESC, length(b.name_pattern) DESC
        LIMIT 1
    ))
    FROM noetl.metric_retention AS r
$$;

-- The names of the metrics in a partition. One look into an index for each finds the next, so it
-- takes no longer for many rows than for few; nothing for a partition that is gone.
CREATE OR REPLACE FUNCTION noetl.list_metric_names(partition_name text) RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH RECURSIVE names AS (
            (SELECT m.metric_name FROM noetl.%1$I AS m ORDER BY m.metric_name LIMIT 1)
            UNION ALL
            SELECT (
                SELECT m.metric_name FROM noetl.%1$I AS m
                WHERE m.metric_name > n.metric_name
                ORDER BY m.metric_name LIMIT 1
            )
            FROM names AS n WHERE n.metric_name IS NOT NULL
        )
        SELECT n.metric_name FROM names AS n WHERE n.metric_name IS NOT NULL',
        partition_name
    );
EXCEPTION
    WHEN undefined_table THEN
        RETURN;
END
$$;

-- The names in a partition whose rows have not all expired.
CREATE OR REPLACE FUNCTION noetl.list_kept_metric_names(partition_name text) RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day_end timestamptz := (
        SELECT p.upper_bound
        FROM noetl.list_metric_partitions() AS p
        WHERE p.partition_name = list_kept_metric_names.partition_name
    );
BEGIN
    -- Nearly always no rule reaches as far back, and then nobody looks into the partition.
    IF day_end <= now() - (SELECT r.retention FROM noetl.metric_retention AS r) AND NOT EXISTS (
        SELECT FROM noetl.metric_retention_by_name AS b WHERE day_end > now() - b.retention
    ) THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT names.metric_name
        FROM noetl.list_metric_names(partition_name) AS names (metric_name)
        WHERE day_end > now() - noetl.metric_retention_of(names.metric_name);
END
$$;

-- Whether something is to be removed from a partition that is past the retention of names without
-- one of their own: rows of a name whose retention has ended too, or the partition, if it is empty.
CREATE OR REPLACE FUNCTION noetl.has_expired_metrics(partition_name text, day_end timestamptz)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM noetl.metric_retention_by_name AS b WHERE day_end > now() - b.retention
    ) THEN
        RETURN true;
    END IF;
    RETURN coalesce(
        (
            SELECT bool_or(day_end <= now() - noetl.metric_retention_of(names.metric_name))
            FROM noetl.list_metric_names(partition_name) AS names (metric_name)
        ),
        true
    );
END
$$;

-- The partitions that have something to expire, as a whole or in part, oldest first. What counts is a
-- partition's true upper bound, whatever its name.
CREATE OR REPLACE FUNCTION noetl.list_expired_metric_partitions() RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.partition_name
    FROM noetl.list_metric_partitions() AS p
    CROSS JOIN noetl.metric_retention AS r
    WHERE p.upper_bound <= now() - r.retention
        AND noetl.has_expired_metrics(p.partition_name, p.upper_bound)
        AND NOT noetl.is_metric_partition_held(p.partition_name, p.upper_bound)
    ORDER BY p.upper_bound
$$;

-- Drops one expired partition; returns false where it is not there, has not expired, or has rows that
-- are kept. A drop locks the whole of noetl.metric, and whatever comes after it waits behind it: after
-- the lock_timeout it gives up with lock_not_available, and the caller tries again later.
-- An autovacuum of the partition would hold it for minutes. It gives way to a lock that waits for
-- longer than deadlock_timeout, a second by default: that is done by one that keeps out nobody else.
CREATE OR REPLACE FUNCTION noetl.drop_expired_metric_partition(partition_name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '250ms'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('noetl.metric', 0));
    IF partition_name NOT IN (SELECT noetl.list_expired_metric_partitions())
        OR EXISTS (SELECT FROM noetl.list_kept_metric_names(partition_name))
    THEN
        RETURN false;
    END IF;
    PERFORM set_config('lock_timeout', '3s', true);
    EXECUTE format('LOCK TABLE noetl.%I IN SHARE UPDATE EXCLUSIVE MODE', partition_name);
    PERFORM set_config('lock_timeout', '250ms', true);
    -- Somebody may have written to it since it was looked at, and nobody does from here on.
    EXECUTE format('LOCK TABLE noetl.%I IN SHARE MODE', partition_name);
    IF EXISTS (SELECT FROM noetl.list_kept_metric_names(partition_name)) THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE noetl.%I', partition_name);
    RETURN true;
END
$$;

-- Copies the rows that are kept of an expired partition into a table beside it, for
-- swap_kept_metrics() in the same transaction; returns its name, or NULL where there is nothing to
-- keep or to expire, or another server does it. Who reads noetl.metric, or inserts rows of
-- today, does not wait for it; who writes to this partition does, until the transaction ends.
-- As it is one transaction, whatever breaks it off leaves nothing behind.
CREATE OR REPLACE FUNCTION noetl.copy_kept_metrics(partition_name text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
-- For an autovacuum, which gives way to a lock that waits for longer than deadlock_timeout.
SET lock_timeout = '3s'
AS $$
DECLARE
    partition_id oid := to_regclass(format('noetl.%I', partition_name));
    rebuilt_name text := 'metric_rebuilt_' || partition_id;
    kept_names text[];
    bounds text;
    made record;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('noetl.metric rebuild', 0))
        OR partition_name NOT IN (SELECT noetl.list_expired_metric_partitions())
        OR NOT EXISTS (SELECT FROM noetl.list_kept_metric_names(partition_name))
    THEN
        RETURN NULL;
    END IF;
    BEGIN
        EXECUTE format('LOCK TABLE noetl.%I IN SHARE MODE', partition_name);
    EXCEPTION
        WHEN undefined_table THEN
            RETURN NULL;
    END;
    -- Those that are there now, as nobody writes to it any more.
    kept_names := ARRAY(SELECT noetl.list_kept_metric_names(partition_name));
    IF kept_names = '{}' THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'CREATE TABLE noetl.%I (LIKE noetl.%I INCLUDING ALL EXCLUDING INDEXES)',
        rebuilt_name, partition_name
    );
    -- It proves to ATTACH PARTITION that no row is outside, which would otherwise look at each.
    SELECT
        concat_ws(
            ' AND ',
            format('created_at >= %L::timestamptz', p.lower_bound),
            format('created_at < %L::timestamptz', p.upper_bound)
        )
    INTO bounds
    FROM noetl.list_metric_partitions() AS p
    WHERE p.partition_name = copy_kept_metrics.partition_name;
    EXECUTE format(
        'ALTER TABLE noetl.%I ADD CONSTRAINT rebuilt_bounds CHECK (%s)', rebuilt_name, bounds
    );
    EXECUTE format(
        'INSERT INTO noetl.%I SELECT * FROM noetl.%I WHERE metric_name = ANY($1)',
        rebuilt_name, partition_name
    ) USING kept_names;
    FOR made IN
        SELECT
            'rebuilt_index_' || i.indexrelid AS index_name,
            CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END AS uniqueness,
            substring(pg_get_indexdef(i.indexrelid) FROM ' (USING .*)$') AS index_definition,
            pg_get_constraintdef(c.oid) AS constraint_definition
        FROM pg_index AS i
        LEFT JOIN pg_constraint AS c ON i.indexrelid = c.conindid AND i.indrelid = c.conrelid
        WHERE i.indrelid = partition_id
    LOOP
        IF made.constraint_definition IS NOT NULL THEN
            EXECUTE format(
                'ALTER TABLE noetl.%I ADD CONSTRAINT %I %s',
                rebuilt_name, made.index_name, made.constraint_definition
            );
        ELSE
            EXECUTE format(
                'CREATE %sINDEX %I ON noetl.%I %s',
                made.uniqueness, made.index_name, rebuilt_name, made.index_definition
            );
        END IF;
    END LOOP;
    EXECUTE format('ANALYZE noetl.%I', rebuilt_name);
    RETURN rebuilt_name;
END
$$;

-- Puts what copy_kept_metrics() has made in the place, and under the name, of the partition. Locks
-- noetl.metric as a drop does, with the same lock_timeout.
CREATE OR REPLACE FUNCTION noetl.swap_kept_metrics(partition_name text, rebuilt_name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET lock_timeout = '250ms'
AS $$
DECLARE
    partition_id regclass := format('noetl.%I', partition_name)::regclass;
    bounds text := (
        SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_class AS c WHERE c.oid = partition_id
    );
    renamings text[] := ARRAY(
        SELECT format('ALTER INDEX noetl.rebuilt_index_%s RENAME TO %I', c.oid, c.relname)
        FROM pg_index AS i
        INNER JOIN pg_class AS c ON i.indexrelid = c.oid
        WHERE i.indrelid = partition_id
    );
    renaming text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('noetl.metric', 0));
    -- ATTACH PARTITION needs it for the foreign key: first, while nobody waits for noetl.metric. It
    -- holds up registrations and heartbeats, and neither inserts nor queries.
    LOCK TABLE noetl.runtime IN SHARE ROW EXCLUSIVE MODE;
    EXECUTE format('DROP TABLE noetl.%I', partition_name);
    FOREACH renaming IN ARRAY renamings LOOP
        EXECUTE renaming;
    END LOOP;
    EXECUTE format('ALTER TABLE noetl.%I RENAME TO %I', rebuilt_name, partition_name);
    EXECUTE format('ALTER TABLE noetl.metric ATTACH PARTITION noetl.%I %s', partition_name, bounds);
    EXECUTE format('ALTER TABLE noetl.%I DROP CONSTRAINT rebuilt_bounds', partition_name);
END
$$;

-- Drops the expired partitions; returns those it dropped. One of which some rows live longer is
-- replaced by one that has these rows only. One that is in use is left for the
-- next call. The locks last until the transaction ends, so a server that must not hold up
-- inserts calls the functions for one partition once a transaction instead.
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
            WHEN lock_not_available THEN
                RAISE NOTICE '% is in use and is left for the next cleanup', partition_name;
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
            WHEN lock_not_available THEN
                RAISE NOTICE '% is in use and is left for the next cleanup', partition_name;
                IF rebuilt_name IS NOT NULL THEN
                    EXECUTE format('DROP TABLE noetl.%I', rebuilt_name);
                END IF;
        END;
    END LOOP;
    RETURN dropped;
END
$$;

-- Sets which metrics are kept longer, and makes that all there are: name pattern to days.
CREATE OR REPLACE FUNCTION noetl.set_metric_retention_by_name(days_by_pattern jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '250ms'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('noetl.metric', 0));
    DELETE FROM noetl.metric_retention_by_name AS b
    WHERE NOT days_by_pattern ? b.name_pattern;
    INSERT INTO noetl.metric_retention_by_name AS b (name_pattern, retention)
    SELECT d.key, make_interval(days => d.value::integer)
    FROM jsonb_each_text(days_by_pattern) AS d
    ON CONFLICT (name_pattern) DO UPDATE SET retention = excluded.retention
    WHERE b.retention <> excluded.retention;
END
$$;
