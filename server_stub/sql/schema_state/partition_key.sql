SELECT pg_get_partkeydef(c.oid)
FROM pg_class AS c
WHERE c.oid = to_regclass('noetl.metric')
