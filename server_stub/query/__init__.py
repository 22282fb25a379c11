"""The way out: filters become pages and charts, from both databases."""
