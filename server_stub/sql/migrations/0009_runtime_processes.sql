-- The processes behind a component, and the deletion of a component's metrics in portions.

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
