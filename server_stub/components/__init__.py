"""Who reports: registrations, processes, who is alive, and the labels that a component adds."""
