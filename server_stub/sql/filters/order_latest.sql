    -- A time in the future counts as the time of arrival. Otherwise it would hide all later samples.
    ORDER BY m.metric_name, m.runtime_id, m.labels,
        least(m.timestamp, m.created_at) DESC, m.metric_id DESC
) AS newest
