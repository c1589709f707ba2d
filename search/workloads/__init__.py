"""Networks, data and the sites found in them: what a study searches over."""
