BEGIN;
-- No request waits for ever: not for a lock, not for a statement, and what a server that was stopped
-- has locked is free again.
SET LOCAL lock_timeout = {lock_timeout_ms};
SET LOCAL statement_timeout = {statement_timeout_ms};
SET LOCAL idle_in_transaction_session_timeout = {statement_timeout_ms};
-- What is answered 200 is on disk, whatever the database's or the role's own setting is; every other
-- value waits for the disk already.
SELECT set_config('synchronous_commit', 'on', true)
WHERE current_setting('synchronous_commit') = 'off'
