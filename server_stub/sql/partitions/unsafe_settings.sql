-- What makes a crash of the database's machine lose what was committed.
SELECT name
FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'
ORDER BY name
