"""Tokens, where they come from, and the one rule of who may do what."""
