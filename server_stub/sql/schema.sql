-- The whole schema as it is now. A database that has none of it gets this file; one that has an
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
-- Rows come in batches of one runtime, so block ranges tell them apart well enough for what is
-- left to this index; idx_metrics_runtime_name begins with the same column.
CREATE INDEX idx_metrics_runtime_id ON noetl.metric USING brin (runtime_id);
-- A metric, or one of a component, within a time, and in the order of time.
CREATE INDEX idx_metrics_name ON noetl.metric (metric_name, timestamp);
CREATE INDEX idx_metrics_runtime_name ON noetl.metric (runtime_id, metric_name, timestamp);
CREATE INDEX IF NOT EXISTS idx_metrics_timestamp ON noetl.metric (timestamp);
-- Containment only, for half of the entries of the default.
CREATE INDEX idx_metrics_labels ON noetl.metric USING gin (labels jsonb_path_ops);

-- One row: how long a metric is kept. It stands in the database, so that
-- cleanup_expired_metrics() drops the same partitions whoever calls it.
CREATE TABLE IF NOT EXISTS noetl.metric_retention (
    only_row BOOLEAN PRIMARY KEY DEFAULT true CHECK (only_row),
    retention INTERVAL NOT NULL CHECK (retention >= interval '1 hour')
);

INSERT INTO noetl.metric_retention (retention)
VALUES (interval '1 day')
ON CONFLICT DO NOTHING;

-- One row a reporting process: its last batch and the answer to it, so that a batch that is
-- sent again inserts nothing.
CREATE TABLE IF NOT EXISTS noetl.metric_batch (
    boot_id TEXT PRIMARY KEY,
    last_sequence BIGINT NOT NULL,
    answer JSONB NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

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
CREATE FUNCTION noetl.create_metric_partition(partition_date date) RETURNS text
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

-- Makes the partitions from tomorrow up to `days_ahead` days ahead; returns those it made.
CREATE FUNCTION noetl.create_metric_partitions_ahead(days_ahead integer) RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day_offset integer;
    created text[] := '{}';
BEGIN
    IF days_ahead IS NULL OR days_ahead NOT BETWEEN 1 AND 366 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'days_ahead must be from 1 to 366';
    END IF;
    FOR day_offset IN 1..days_ahead LOOP
        created := array_append(created, noetl.create_metric_partition(today + day_offset));
    END LOOP;
    RETURN array_remove(created, NULL);
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

-- Drops one expired partition; returns false where it is not there or has not expired. A drop
-- locks the whole of noetl.metric, and whatever comes after it waits behind it: after the
-- lock_timeout it gives up with lock_not_available, and the caller tries again later.
-- An autovacuum of the partition would hold it for minutes. It gives way to a lock that waits for
-- longer than deadlock_timeout, a second by default: that is done by one that keeps out nobody else.
CREATE OR REPLACE FUNCTION noetl.drop_expired_metric_partition(partition_name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '250ms'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('noetl.metric', 0));
    IF partition_name NOT IN (SELECT noetl.list_expired_metric_partitions()) THEN
        RETURN false;
    END IF;
    PERFORM set_config('lock_timeout', '3s', true);
    EXECUTE format('LOCK TABLE noetl.%I IN SHARE UPDATE EXCLUSIVE MODE', partition_name);
    PERFORM set_config('lock_timeout', '250ms', true);
    EXECUTE format('DROP TABLE noetl.%I', partition_name);
    RETURN true;
END
$$;

-- Drops the expired partitions; returns those it dropped. One that is in use is left for the
-- next call. The locks last until the transaction ends, so a server that must not hold up
-- inserts calls drop_expired_metric_partition() once a transaction instead.
CREATE FUNCTION noetl.cleanup_expired_metrics() RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition_name text;
    dropped text[] := '{}';
BEGIN
    FOR partition_name IN SELECT noetl.list_expired_metric_partitions() LOOP
        BEGIN
            IF noetl.drop_expired_metric_partition(partition_name) THEN
                dropped := array_append(dropped, partition_name);
            END IF;
        EXCEPTION
            WHEN lock_not_available THEN
                RAISE NOTICE '% is in use and is left for the next cleanup', partition_name;
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

-- For the rest of the transaction, the foreign key of noetl.metric is not looked up for every row:
-- whoever calls this holds the rows of noetl.runtime that its rows refer to. Does nothing, and
-- returns false, where the role may not do it, or somebody's own trigger would be passed over.
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
