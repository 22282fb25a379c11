
measured AS (
    SELECT
        pairs.label_value,
        row_number() OVER by_value AS place,
        sum(%(row_bytes)s::bigint + octet_length(pairs.label_value)) OVER by_value AS bytes_through
    FROM pairs
    WHERE pairs.label_name = %(label_name)s::text
        AND strpos(lower(pairs.label_value), lower(%(search)s::text)) > 0
    WINDOW by_value AS (ORDER BY pairs.label_value COLLATE "C")
)

-- One value more than is asked for tells that there are others.
SELECT
    progress.is_cut OR EXISTS (
        SELECT FROM measured WHERE measured.bytes_through > %(page_bytes_max)s::bigint
    ) AS is_cut,
    measured.label_value
FROM progress
LEFT JOIN measured
    ON measured.bytes_through <= %(page_bytes_max)s::bigint
    AND measured.place <= %(limit)s::bigint + 1
ORDER BY measured.place
