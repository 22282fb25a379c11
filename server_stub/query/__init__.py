"""The way out: filters become pages, charts and pages for Prometheus, from both databases."""
