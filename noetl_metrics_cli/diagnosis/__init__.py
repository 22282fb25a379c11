"""What may be wrong with a server, its database and the way to it, each with what to do."""
