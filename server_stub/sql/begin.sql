-- Each transaction says itself what its statements mean, whatever the settings of the server, the
-- database or the role are. With any other isolation level a transaction would not see what others
-- commit while it waits for them. READ WRITE is not said: an operator may have made a database
-- read-only.
BEGIN ISOLATION LEVEL READ COMMITTED;
-- No request waits for ever, neither for a lock nor for a statement. The locks of a server that was
-- stopped are free again after a while.
SET LOCAL lock_timeout = {lock_timeout_ms};
SET LOCAL statement_timeout = {statement_timeout_ms};
SET LOCAL idle_in_transaction_session_timeout = {statement_timeout_ms};
-- What a name, a text or a number means.
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL standard_conforming_strings = on;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex';
SET LOCAL array_nulls = on;
SET LOCAL transform_null_equals = off;
SET LOCAL quote_all_identifiers = off;
-- With any other value, a search in the index of the labels finds some of the rows only.
SET LOCAL gin_fuzzy_search_limit = 0;
-- A batch that is answered 200 is on disk. Every other value waits for the disk already.
SELECT set_config('synchronous_commit', 'on', true)
WHERE current_setting('synchronous_commit') = 'off';
-- Each transaction has its bounds already, and a day that is rebuilt takes long. PostgreSQL has this
-- setting from version 17 on.
SELECT set_config('transaction_timeout', '0', true)
WHERE current_setting('transaction_timeout', true) <> '0'
