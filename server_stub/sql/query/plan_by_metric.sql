-- Until the end of the transaction, a page of the table costs the planner the same wherever it
-- lies. The rows of a chart are recent, and in memory or on a disk without heads. With PostgreSQL's
-- default the planner would read all rows between a metric's rows, rather than look up each of
-- them.
SELECT set_config('random_page_cost', current_setting('seq_page_cost'), true)
