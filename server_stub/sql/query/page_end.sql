    ) AS page
    -- One window for both, which PostgreSQL goes through once.
    WINDOW before AS (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) AS measured
WHERE bytes_before < %(page_bytes_max)s::bigint
