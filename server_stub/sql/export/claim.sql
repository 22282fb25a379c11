-- How far the export has come. Until the end of the transaction no other server exports. While
-- another server exports, there is no row. The claim of a server that was stopped is free again
-- after a while. This may take longer than for a request, because a turn waits for the receiver.
SELECT
    e.position,
    e.acknowledged,
    e.settled,
    e.horizon,
    set_config('idle_in_transaction_session_timeout', %(idle_milliseconds)s::text, true)
FROM noetl.metric_export AS e
FOR UPDATE SKIP LOCKED
