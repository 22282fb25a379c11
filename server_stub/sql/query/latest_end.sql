        ) AS latest
    ) AS weighed
) AS measured
WHERE bytes_through <= %(page_bytes_max)s::bigint
ORDER BY metric_name COLLATE "C", runtime_id, labels COLLATE "C"
