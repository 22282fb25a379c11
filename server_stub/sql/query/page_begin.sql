-- The rows of a page in their order, as many as its bytes allow, and whether another row follows each.
-- The sizes of the rows before are added up: the first row is always there, however large.
SELECT *
FROM (
    SELECT
        page.*,
        lead(true, 1, false) OVER before AS has_next,
        coalesce(
            sum(
                %(row_bytes)s::bigint + %(copies)s::bigint * (
                    coalesce(octet_length(page.labels), 0)
                    + coalesce(octet_length(page.help_text), 0) + coalesce(octet_length(page.unit), 0)
                )
            ) OVER before,
            0
        )::bigint AS bytes_before
    FROM (
