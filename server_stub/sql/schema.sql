-- The whole schema as it is now. A database without the schema gets this file. A database with an
-- older state of it gets the missing files of migrations/ instead. A test proves both equal.
-- Everything is idempotent, because a NoETL server may have made the same tables before.

CREATE SCHEMA IF NOT EXISTS noetl;

CREATE TABLE IF NOT EXISTS noetl.runtime (
    runtime_id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    component_type TEXT NOT NULL
        CHECK (component_type IN ('worker_pool', 'server_api', 'broker')),
    base_url TEXT,
    status TEXT NOT NULL,
    labels JSONB,
    capabilities JSONB,
    capacity INTEGER,
    runtime JSONB,
    last_heartbeat TIMESTAMPTZ,
    created_at TIMESTAMPTZ DEFAULT now(),
    updated_at TIMESTAMPTZ DEFAULT now()
);

CREATE UNIQUE INDEX IF NOT EXISTS idx_runtime_component_name
    ON noetl.runtime (component_type, name);

-- The processes behind a component, as far as they tell of themselves: one row for each `worker_id`
-- that was heard of. A process that is not heard of until `expected_until` is lost. `ended_at` is
-- when it said that it ends, and `lost_at` when a server noticed that it is silent. A row of the two
-- goes when it is as old as the retention of metrics.
CREATE TABLE IF NOT EXISTS noetl.runtime_process (
    runtime_id BIGINT NOT NULL REFERENCES noetl.runtime (runtime_id) ON DELETE CASCADE,
    worker_id TEXT NOT NULL,
    hostname TEXT,
    pid BIGINT,
    sdk_version TEXT,
    started_at TIMESTAMPTZ,
    heartbeat_interval_seconds DOUBLE PRECISION,
    last_heard_at TIMESTAMPTZ NOT NULL,
    expected_until TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    lost_at TIMESTAMPTZ,
    PRIMARY KEY (runtime_id, worker_id)
);

-- The partition column has to be part of the key of a partitioned table.
CREATE TABLE IF NOT EXISTS noetl.metric (
    metric_id BIGSERIAL NOT NULL,
    runtime_id BIGINT NOT NULL REFERENCES noetl.runtime (runtime_id) ON DELETE CASCADE,
    metric_name TEXT NOT NULL,
    metric_type TEXT NOT NULL
        CHECK (metric_type IN ('counter', 'gauge', 'histogram', 'summary')),
    metric_value DOUBLE PRECISION NOT NULL,
    labels JSONB,
    help_text TEXT,
    unit TEXT,
    timestamp TIMESTAMPTZ NOT NULL DEFAULT now(),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ NOT NULL DEFAULT now() + interval '1 day',
    PRIMARY KEY (metric_id, created_at)
) PARTITION BY RANGE (created_at);

-- A NoETL server may have made indexes of these names that are of less use.
DROP INDEX IF EXISTS noetl.idx_metrics_runtime_id;
DROP INDEX IF EXISTS noetl.idx_metrics_name;
DROP INDEX IF EXISTS noetl.idx_metrics_runtime_name;
DROP INDEX IF EXISTS noetl.idx_metrics_labels;
-- Rows come in batches of one component, so block ranges tell them apart well enough for the
-- queries that are left to this index: idx_metrics_runtime_name begins with the same column.
CREATE INDEX idx_metrics_runtime_id ON noetl.metric USING brin (runtime_id);
-- For the rows of a metric, or of one metric of a component, within a time and in the order of
-- time.
CREATE INDEX idx_metrics_name ON noetl.metric (metric_name, timestamp);
CREATE INDEX idx_metrics_runtime_name ON noetl.metric (runtime_id, metric_name, timestamp);
CREATE INDEX IF NOT EXISTS idx_metrics_timestamp ON noetl.metric (timestamp);
-- This index serves containment only, and has half of the entries of the default one.
CREATE INDEX idx_metrics_labels ON noetl.metric USING gin (labels jsonb_path_ops);

-- One row: how long a metric is kept. It stands in the database, so that
-- cleanup_expired_metrics() drops the same partitions for every caller.
CREATE TABLE IF NOT EXISTS noetl.metric_retention (
    only_row BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row),
    retention INTERVAL NOT NULL CHECK (retention >= interval '1 hour')
);

INSERT INTO noetl.metric_retention (retention)
VALUES (interval '1 day')
ON CONFLICT DO NOTHING;

-- Which metrics are kept longer: a name, or the beginning of names and a '*'. For a name, the
-- longest pattern that matches counts. metric_retention counts if none matches, or if it is longer.
CREATE TABLE IF NOT EXISTS noetl.metric_retention_by_name (
    name_pattern TEXT PRIMARY KEY CHECK (name_pattern ~ '^[a-zA-Z_:][a-zA-Z0-9_:]*[*]?$'),
    retention INTERVAL NOT NULL CHECK (retention >= interval '1 hour')
);

-- One row for each reporting process: its last batch and the answer to it. So a batch that a client
-- sends again inserts nothing.
CREATE TABLE IF NOT EXISTS noetl.metric_batch (
    boot_id TEXT PRIMARY KEY,
    last_sequence BIGINT NOT NULL,
    answer JSONB NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- One row if metrics are exported. The server sends the rows with a metric_id after `position`
-- next. The receiver has acknowledged the rows up to `acknowledged`, and those up to `settled` so
-- long ago that it has them on disk. `marked`, reached at `marked_at`, is settled next. A partition
-- with rows that are not settled is kept for `hold` beyond the retention. Up to the id `horizon` no
-- row will ever come that is not there. A server does not remember that itself: a standby that takes
-- over, or a backup, has another horizon.
CREATE TABLE IF NOT EXISTS noetl.metric_export (
    only_row BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row),
    position BIGINT NOT NULL DEFAULT 0,
    acknowledged BIGINT NOT NULL DEFAULT 0,
    settled BIGINT NOT NULL DEFAULT 0,
    marked BIGINT NOT NULL DEFAULT 0,
    marked_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    hold INTERVAL NOT NULL CHECK (hold >= interval '0'),
    horizon BIGINT NOT NULL DEFAULT 0
);

-- The type, the help text and the unit of each name, which a time-series database does not keep:
-- one row a name, as it was exported last.
CREATE TABLE IF NOT EXISTS noetl.metric_family (
    metric_name TEXT PRIMARY KEY,
    metric_type TEXT NOT NULL,
    help_text TEXT,
    unit TEXT
);

CREATE TABLE IF NOT EXISTS noetl.metrics_schema_migration (
    name TEXT PRIMARY KEY,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- A NoETL server may have functions of these names that return something else, which
-- CREATE OR REPLACE would refuse to replace.
DROP FUNCTION IF EXISTS noetl.initialize_metric_partitions();
DROP FUNCTION IF EXISTS noetl.create_metric_partitions_ahead(integer);
DROP FUNCTION IF EXISTS noetl.create_metric_partition(date);
DROP FUNCTION IF EXISTS noetl.cleanup_expired_metrics();

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
CREATE FUNCTION noetl.create_metric_partition(partition_date date) RETURNS text
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
CREATE FUNCTION noetl.create_metric_partitions_ahead(days_ahead integer) RETURNS text[]
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

-- Makes the partitions of yesterday, today and the next 7 days; returns those it made.
CREATE FUNCTION noetl.initialize_metric_partitions() RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    created text[];
BEGIN
    created := ARRAY[
        noetl.create_metric_partition(today - 1),
        noetl.create_metric_partition(today)
    ];
    RETURN array_remove(created, NULL) || noetl.create_metric_partitions_ahead(7);
END
$$;

-- How many rows of a partition have not been exported; 0 if there is no export.
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

-- The names of the metrics in a partition. One look into an index finds the next name, so many rows
-- take no longer than few. A partition that is gone has no names.
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

-- Whether there is something to remove from a partition that is past the retention of names without
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

-- The partitions that have expired as a whole or in part, oldest first. A partition counts by its
-- true upper bound, whatever its name.
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

-- Drops one expired partition. Returns false if it is not there, has not expired, or has rows that
-- are kept. A drop locks the whole of noetl.metric, and every later request waits behind it. After
-- the lock_timeout it gives up with lock_not_available, and the caller tries again later.
-- An autovacuum of the partition would hold the drop up for minutes. It gives way to a lock that
-- waits for longer than deadlock_timeout, a second by default. So the function first waits for a
-- lock that keeps no request out.
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

-- Copies the kept rows of an expired partition into a table beside it, for swap_kept_metrics() in
-- the same transaction. Returns the table's name, or NULL if there is nothing to keep or to expire,
-- or if another server does it. Readers of noetl.metric and inserts of today's rows do not wait for
-- the copy. Transactions that write to this partition wait until the copy's transaction ends.
-- As it is one transaction, it leaves nothing behind if anything breaks it off.
CREATE OR REPLACE FUNCTION noetl.copy_kept_metrics(partition_name text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
-- This is long enough for an autovacuum to give way: it does so to a lock that waits for longer
-- than deadlock_timeout.
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

-- Puts the table that copy_kept_metrics() has made in the partition's place, under the partition's
-- name. Locks noetl.metric as a drop does, with the same lock_timeout.
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

-- Drops the expired partitions; returns those it dropped. If some rows of a partition live longer,
-- a partition with only these rows takes its place. A partition that is in use, or that something
-- depends on, is left for the next call, and a warning says so. The locks last until the transaction
-- ends, so a server that must not hold up inserts calls the functions for one partition once a
-- transaction instead.
CREATE FUNCTION noetl.cleanup_expired_metrics() RETURNS text[]
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

-- Sets how long metrics are kept, which is also the default of expires_at.
CREATE OR REPLACE FUNCTION noetl.set_metric_retention(new_retention interval) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '250ms'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('noetl.metric', 0));
    UPDATE noetl.metric_retention
    SET retention = new_retention
    WHERE retention <> new_retention;
    -- Nothing changes nearly always, and then noetl.metric is not locked.
    IF FOUND THEN
        EXECUTE format(
            'ALTER TABLE ONLY noetl.metric ALTER COLUMN expires_at SET DEFAULT now() + %L::interval',
            new_retention
        );
    END IF;
END
$$;

-- Sets which metrics are kept longer: the days of each name pattern. Removes all other rules.
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

-- For the rest of the transaction, PostgreSQL does not look up the foreign key of noetl.metric for
-- every row: the caller holds the rows of noetl.runtime that its rows refer to. Does nothing, and
-- returns false, if the role may not do it, or if an operator's own trigger would be passed over.
CREATE OR REPLACE FUNCTION noetl.skip_row_checks() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT has_parameter_privilege('session_replication_role', 'SET') OR EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE NOT t.tgisinternal AND (
            t.tgrelid = 'noetl.metric'::regclass
            OR t.tgrelid IN (
                SELECT i.inhrelid FROM pg_inherits AS i
                WHERE i.inhparent = 'noetl.metric'::regclass
            )
        )
    ) THEN
        RETURN false;
    END IF;
    PERFORM set_config('session_replication_role', 'replica', true);
    RETURN true;
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

-- Deletes some rows of a component from one partition, in the order of an index, from the row on
-- after which the portion before has ended: so no portion reads again what is deleted already.
-- Returns how many rows it deleted and its last row; no last row if there was none left.
CREATE OR REPLACE FUNCTION noetl.delete_metrics_of_runtime(
    partition_name text, owner_id bigint, after_name text, after_time timestamptz, rows_max integer
) RETURNS TABLE (deleted bigint, last_name text, last_time timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH portion AS MATERIALIZED (
            SELECT m.ctid AS place, m.metric_name, m.timestamp
            FROM noetl.%1$I AS m
            WHERE m.runtime_id = $1 AND (m.metric_name, m.timestamp) >= ($2, $3)
            ORDER BY m.metric_name, m.timestamp
            LIMIT $4
        ),
        gone AS (
            DELETE FROM noetl.%1$I AS m
            WHERE m.ctid = ANY(ARRAY(SELECT p.place FROM portion AS p))
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM gone), p.metric_name, p.timestamp
        FROM (VALUES (true)) AS always (here)
        LEFT JOIN portion AS p ON true
        ORDER BY p.metric_name DESC NULLS LAST, p.timestamp DESC
        LIMIT 1',
        partition_name
    ) USING owner_id, after_name, after_time, rows_max;
EXCEPTION
    WHEN undefined_table THEN
        -- Another server has dropped the partition meanwhile, or a trigger of the operator's failed.
        IF to_regclass(format('noetl.%I', partition_name)) IS NOT NULL THEN
            RAISE;
        END IF;
        RETURN QUERY SELECT 0::bigint, NULL::text, NULL::timestamptz;
END
$$;
