"""Contract suites: what any implementation of a protocol must pass, for us and plugin authors."""
