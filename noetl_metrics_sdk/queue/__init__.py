"""Station 3, wait: samples wait, bounded and counted, in named batches, on disk if wanted."""
