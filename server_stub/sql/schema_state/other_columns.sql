-- The columns that a table of this name lacks, or has with another type (then `found` names it). A
-- table that is not there lacks nothing.
SELECT needed.table_name, needed.column_name, needed.type_name,
    format_type(a.atttypid, NULL) AS found
FROM (
    VALUES
    ('runtime', 'runtime_id', 'bigint'),
    ('runtime', 'name', 'text'),
    ('runtime', 'component_type', 'text'),
    ('runtime', 'base_url', 'text'),
    ('runtime', 'status', 'text'),
    ('runtime', 'labels', 'jsonb'),
    ('runtime', 'capabilities', 'jsonb'),
    ('runtime', 'capacity', 'integer'),
    ('runtime', 'runtime', 'jsonb'),
    ('runtime', 'last_heartbeat', 'timestamp with time zone'),
    ('runtime', 'created_at', 'timestamp with time zone'),
    ('runtime', 'updated_at', 'timestamp with time zone'),
    ('metric', 'metric_id', 'bigint'),
    ('metric', 'runtime_id', 'bigint'),
    ('metric', 'metric_name', 'text'),
    ('metric', 'metric_type', 'text'),
    ('metric', 'metric_value', 'double precision'),
    ('metric', 'labels', 'jsonb'),
    ('metric', 'help_text', 'text'),
    ('metric', 'unit', 'text'),
    ('metric', 'timestamp', 'timestamp with time zone'),
    ('metric', 'created_at', 'timestamp with time zone'),
    ('metric', 'expires_at', 'timestamp with time zone')
) AS needed (table_name, column_name, type_name)
LEFT JOIN pg_attribute AS a
    ON a.attrelid = to_regclass('noetl.' || needed.table_name)
    AND a.attname = needed.column_name
    AND NOT a.attisdropped
WHERE to_regclass('noetl.' || needed.table_name) IS NOT NULL
    AND (
        a.attname IS NULL
        OR format_type(a.atttypid, NULL) NOT IN (
            needed.type_name,
            CASE needed.type_name WHEN 'text' THEN 'character varying' ELSE needed.type_name END
        )
    )
