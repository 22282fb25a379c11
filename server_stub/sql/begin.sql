BEGIN;
-- No request waits for ever, neither for a lock nor for a statement. The locks of a server that was
-- stopped are free again after a while.
SET LOCAL lock_timeout = {lock_timeout_ms};
SET LOCAL statement_timeout = {statement_timeout_ms};
SET LOCAL idle_in_transaction_session_timeout = {statement_timeout_ms};
-- A batch that is answered 200 is on disk, whatever the database's or the role's own setting is.
-- Every other value waits for the disk already.
SELECT set_config('synchronous_commit', 'on', true)
WHERE current_setting('synchronous_commit') = 'off'
