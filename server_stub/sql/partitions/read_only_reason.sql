-- Why the database takes no writes; no row if it does.
SELECT CASE
    WHEN pg_is_in_recovery() THEN 'it is a hot standby'
    ELSE 'the database or the role of this server has default_transaction_read_only = on'
END AS reason
WHERE current_setting('transaction_read_only') = 'on'
