"""The default back end: SEAL through TenSEAL's low-level module, with our own packing."""
