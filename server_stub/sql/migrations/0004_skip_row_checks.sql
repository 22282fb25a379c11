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
