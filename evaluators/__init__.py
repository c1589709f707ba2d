"""What measures candidates: cost models and real back ends. Nothing here trains."""

__dist__ = "cipher-search"
