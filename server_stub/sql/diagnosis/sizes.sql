-- The settings by which PostgreSQL uses the memory and the disk of its machine.
SELECT current_setting('shared_buffers'), current_setting('max_wal_size')
