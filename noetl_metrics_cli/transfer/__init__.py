"""Samples between a server and a file: written once, sent once, and resumed where it broke off."""
