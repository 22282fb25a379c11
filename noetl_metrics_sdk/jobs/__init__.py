"""Around the instruments: `track_job` gives all jobs of a worker the same three metrics."""
