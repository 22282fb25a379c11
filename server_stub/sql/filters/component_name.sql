    AND r.name = %(component_name)s
