"""EVE's method: modes of one set of weights, trained together."""
