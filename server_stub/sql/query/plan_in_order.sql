-- Until the end of the transaction, PostgreSQL reads rows in the order of the answer. Labels depend
-- on each other and on the component, which the planner does not know. It expects too few rows for
-- a page, and would read and sort all rows of a series.
SELECT
    set_config('enable_sort', 'off', true),
    set_config('enable_bitmapscan', 'off', true)
