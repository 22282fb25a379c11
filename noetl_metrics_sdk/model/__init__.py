"""What a metric, its names, its numbers and a sample are: words without state or I/O."""
