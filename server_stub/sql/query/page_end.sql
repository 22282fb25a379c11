        ) AS page
    ) AS sized
) AS measured
WHERE coalesce(bytes_before, 0) < %(page_bytes_max)s::bigint
