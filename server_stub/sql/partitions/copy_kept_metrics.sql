-- The copy may take long, but a server that has gone keeps its locks no longer than others do.
SELECT
    noetl.copy_kept_metrics(%(partition_name)s),
    set_config('idle_in_transaction_session_timeout', '30s', true)
