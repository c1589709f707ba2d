"""A CKKS configuration in the forms that others run: parameters, scripts, a runnable folder."""
