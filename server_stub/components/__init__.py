"""Who reports: registrations, ids, and the labels that a component adds to its series."""
