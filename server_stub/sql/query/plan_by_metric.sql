-- Until the end of the transaction, a page of the table costs the same wherever it lies. What a
-- chart is asked about is recent, and in memory or on a disk without heads; with PostgreSQL's
-- default the planner reads all that lies between a metric's rows rather than look each of them up.
SELECT set_config('random_page_cost', current_setting('seq_page_cost'), true)
