"""PostgreSQL: the pool, the schema, partitions, and their upkeep."""
