"""The command `noetl-metrics`: what operators do with a server, in a terminal or in a script."""
