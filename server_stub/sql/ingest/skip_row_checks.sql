SELECT noetl.skip_row_checks()
