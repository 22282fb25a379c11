"""Station 2, collect: what has changed since it was last sent, checked and stamped."""
