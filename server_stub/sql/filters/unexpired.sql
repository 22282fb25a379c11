    AND m.expires_at > now()
