"""The way to a server: requests over HTTP, and answers or errors that an operator can read."""
