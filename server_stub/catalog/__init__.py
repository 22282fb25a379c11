"""What there is: which metrics, and which labels they have."""
