-- Until the end of the transaction, rows are read in the order in which they are wanted. Labels
-- depend on each other and on the component, which the planner does not know: it expects too few
-- rows for a page, and would read and sort all that a series has.
SELECT
    set_config('enable_sort', 'off', true),
    set_config('enable_bitmapscan', 'off', true)
