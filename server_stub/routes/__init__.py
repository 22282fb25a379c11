"""A file for each part of the API: parameters come in, answers go out."""
