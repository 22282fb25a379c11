-- The role, whether it owns the schema (or may make it), and whether it may skip the checks of rows.
SELECT current_user,
    coalesce(
        (
            SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class AS c
            WHERE c.oid = to_regclass('noetl.metric')
        ),
        has_database_privilege(current_database(), 'CREATE')
    ),
    has_parameter_privilege('session_replication_role', 'SET')
