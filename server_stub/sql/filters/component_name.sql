    AND m.runtime_id = ANY(ARRAY(
        SELECT named.runtime_id FROM noetl.runtime AS named WHERE named.name = %(component_name)s
    ))
