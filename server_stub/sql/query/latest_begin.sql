-- The series of a page by their names, each name as one row: the server reads the bytes of a series
-- only if it does not know them yet (exposition/series_rows.py). There are as many series as the bytes
-- of a page allow; series_count says how many there are altogether. If they are too many, the largest
-- are left out: a few that are huge must not hide the others.
WITH latest AS MATERIALIZED (
    SELECT
        found.*,
        coalesce(octet_length(found.labels), 0) + coalesce(octet_length(found.help_text), 0)
        + coalesce(octet_length(found.unit), 0) AS text_bytes
    FROM (
