"""The way to an operator: options are read, and tables, drawings and progress are shown."""
