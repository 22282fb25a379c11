    -- These are constants when the query is planned: partitions beyond them are not even locked.
    AND m.created_at > %(created_after)s::timestamptz
    AND m.created_at <= %(created_until)s::timestamptz
