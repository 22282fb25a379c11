    AND m.timestamp >= %(start_time)s::timestamptz
    -- No sample is further ahead of its insertion; this prunes the partitions.
    AND m.created_at >= %(start_time)s::timestamptz - %(sample_ahead)s::interval
