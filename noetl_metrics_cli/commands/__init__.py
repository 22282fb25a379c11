"""The commands: a file for each, which reads its options, asks, and shows what comes."""
