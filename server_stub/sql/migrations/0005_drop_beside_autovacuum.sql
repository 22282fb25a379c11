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
