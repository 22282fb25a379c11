-- The settings with which a crash of the database's machine loses committed rows.
SELECT name
FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'
ORDER BY name
