"""What may be searched: frozen payloads, legality rules and parameters. No torch, no I/O."""

__dist__ = "cipher-search"
