    -- A label with an empty value is no label.
    AND NOT EXISTS (
        SELECT FROM jsonb_array_elements_text(%(labels_absent)s::jsonb) AS absent (name)
        WHERE coalesce(m.labels ->> absent.name, '') <> ''
    )
