-- Until the end of the transaction, a page of the table costs the planner the same wherever it
-- lies. The rows of a chart are recent, and in memory or on a disk without heads. With PostgreSQL's
-- default the planner would read all rows between a metric's rows, rather than look up each of
-- them.
--
-- A chart joins each sample with its series. The planner takes the samples for a single row, because it
-- cannot know what the filter on labels leaves, and would compare each of them with each series in turn:
-- 10,000 series of one sample took longer than half a minute that way, and take half a second by a hash.
SELECT
    set_config('random_page_cost', current_setting('seq_page_cost'), true),
    set_config('enable_nestloop', 'off', true),
    -- Before version 18, PostgreSQL adds so much to the cost of a nested loop that it cannot do without
    -- that it would compile the query.
    set_config('jit', 'off', true)
