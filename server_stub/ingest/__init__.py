"""The way in: a body becomes samples, samples become rows, rows a committed batch."""
