"""Methods that prune: ADMM, progressive ADMM, by magnitude; purification and quantisation."""
