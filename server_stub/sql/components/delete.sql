DELETE FROM noetl.runtime WHERE runtime_id = %(runtime_id)s
