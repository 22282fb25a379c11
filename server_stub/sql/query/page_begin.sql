-- The rows of a page in their order, as many as its bytes allow, and how many there would be. The
-- sizes of the rows before are added up: the first row is always there, however large.
SELECT *
FROM (
    SELECT
        sized.*,
        count(*) OVER () AS rows_found,
        sum(sized.size_bytes) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            AS bytes_before
    FROM (
        SELECT
            page.*,
            %(row_bytes)s::bigint + %(copies)s::bigint * (
                coalesce(octet_length(page.labels::text), 0)
                + coalesce(octet_length(page.help_text), 0) + coalesce(octet_length(page.unit), 0)
            ) AS size_bytes
        FROM (
