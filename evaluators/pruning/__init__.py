"""What pruned networks cost: non-zeros, bytes, crossbars, time on this host."""
