-- The names of metrics that hold a text, each with the type, the help text and the unit of its latest
-- sample. One look into the index finds the next name, so many rows take no longer than few. The walk
-- ends after names_max names, or at the deadline. Names that only the history has come from the
-- families that were exported. Each row says whether the walk has come to the end; the first row
-- is there even without a name.
WITH RECURSIVE walked AS (
    (
        SELECT
            m.metric_name,
            1 AS place
        FROM noetl.metric AS m
        WHERE m.created_at > %(created_after)s::timestamptz
            AND m.created_at <= %(created_until)s::timestamptz
        ORDER BY m.metric_name
        LIMIT 1
    )
    UNION ALL
    SELECT
        (
            SELECT m.metric_name
            FROM noetl.metric AS m
            WHERE m.metric_name > walked.metric_name
                AND m.created_at > %(created_after)s::timestamptz
                AND m.created_at <= %(created_until)s::timestamptz
            ORDER BY m.metric_name
            LIMIT 1
        ),
        walked.place + 1
    FROM walked
    WHERE walked.metric_name IS NOT NULL
        AND walked.place < %(names_max)s::bigint
        AND clock_timestamp() < statement_timestamp() + %(walk)s::interval
),

-- Behind the last name the walk finds NULL.
progress AS (
    SELECT count(*) > 0 AND bool_and(walked.metric_name IS NOT NULL) AS is_cut FROM walked
),

matching AS (
    SELECT every.metric_name
    FROM (
        SELECT walked.metric_name FROM walked WHERE walked.metric_name IS NOT NULL
        UNION
        SELECT f.metric_name FROM noetl.metric_family AS f WHERE %(has_history)s::boolean
    ) AS every
    WHERE strpos(lower(every.metric_name), lower(%(search)s::text)) > 0
    ORDER BY every.metric_name
    LIMIT %(rows_max)s::bigint
),

described AS (
    SELECT
        matching.metric_name,
        coalesce(latest.metric_type, f.metric_type) AS metric_type,
        CASE WHEN latest.metric_type IS NULL THEN f.help_text ELSE latest.help_text END AS help_text,
        CASE WHEN latest.metric_type IS NULL THEN f.unit ELSE latest.unit END AS unit
    FROM matching
    -- Nearly every name has a sample of the last days, and then no other day is looked into.
    LEFT JOIN LATERAL (
        (
            SELECT
                m.metric_type,
                m.help_text,
                m.unit
            FROM noetl.metric AS m
            WHERE m.metric_name = matching.metric_name
                AND m.created_at > %(created_recently)s::timestamptz
                AND m.created_at <= %(created_until)s::timestamptz
            ORDER BY m.timestamp DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT
                m.metric_type,
                m.help_text,
                m.unit
            FROM noetl.metric AS m
            WHERE m.metric_name = matching.metric_name
                AND m.created_at > %(created_after)s::timestamptz
                AND m.created_at <= %(created_recently)s::timestamptz
            ORDER BY m.timestamp DESC
            LIMIT 1
        )
        LIMIT 1
    ) AS latest ON true
    LEFT JOIN noetl.metric_family AS f ON matching.metric_name = f.metric_name
),

measured AS (
    SELECT
        described.*,
        count(*) OVER () AS rows_found,
        sum(
            %(row_bytes)s::bigint + %(copies)s::bigint * (
                octet_length(described.metric_name) + coalesce(octet_length(described.help_text), 0)
                + coalesce(octet_length(described.unit), 0)
            )
        ) OVER (ORDER BY described.metric_name) AS bytes_through
    FROM described
    WHERE described.metric_type IS NOT NULL
)

SELECT
    progress.is_cut,
    measured.rows_found,
    measured.metric_name,
    measured.metric_type,
    measured.help_text,
    measured.unit
FROM progress
LEFT JOIN measured ON measured.bytes_through <= %(page_bytes_max)s::bigint
ORDER BY measured.metric_name
