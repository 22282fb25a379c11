"""Worker-side metrics for NoETL."""
