-- How far the export has come; until the end of the transaction nobody else exports. No row while
-- another server does. What a server that was stopped has claimed is free again after a while,
-- which may be longer than for a request: the receiver is waited for meanwhile.
SELECT
    e.position,
    e.acknowledged,
    e.settled,
    set_config('idle_in_transaction_session_timeout', %(idle_milliseconds)s::text, true)
FROM noetl.metric_export AS e
FOR UPDATE SKIP LOCKED
