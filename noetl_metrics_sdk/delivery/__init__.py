"""Station 4, deliver: one thread, one attempt at a time, and when to try again."""
