
-- The first values of each label, as many as the bytes of an answer allow: first those that come
-- first under their labels, so that one label with many values does not hide another.
placed AS (
    SELECT
        pairs.*,
        count(*) OVER (PARTITION BY pairs.label_name) AS value_count,
        row_number() OVER (
            PARTITION BY pairs.label_name ORDER BY pairs.label_value COLLATE "C"
        ) AS place
    FROM pairs
),

measured AS (
    SELECT
        placed.*,
        sum(
            %(row_bytes)s::bigint
            + octet_length(placed.label_name) + octet_length(placed.label_value)
        ) OVER (ORDER BY placed.place, placed.label_name COLLATE "C") AS bytes_through
    FROM placed
    WHERE placed.place <= %(values_max)s::bigint
),

labels AS (
    SELECT
        measured.label_name,
        measured.value_count,
        array_agg(measured.label_value ORDER BY measured.place) AS label_values
    FROM measured
    WHERE measured.bytes_through <= %(page_bytes_max)s::bigint
    GROUP BY measured.label_name, measured.value_count
)

SELECT
    progress.is_cut,
    labels.label_name,
    labels.value_count,
    labels.label_values
FROM progress
LEFT JOIN labels ON true
ORDER BY labels.label_name COLLATE "C"
