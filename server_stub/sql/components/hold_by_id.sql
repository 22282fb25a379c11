SELECT runtime_id FROM noetl.runtime WHERE runtime_id = %(runtime_id)s FOR UPDATE
