"""Networks by hand, one file per family; each factory is ``name(input_shape, classes, ...)``."""
