"""EVE: one set of weights that holds several networks of rising density."""
