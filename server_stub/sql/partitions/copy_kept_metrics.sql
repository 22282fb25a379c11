-- The copy may take long, but the locks of a server that has gone last no longer than elsewhere.
SELECT
    noetl.copy_kept_metrics(%(partition_name)s),
    set_config('idle_in_transaction_session_timeout', '30s', true)
