"""Methods: how a point becomes a candidate, by building it or by training."""
