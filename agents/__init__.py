"""The LLM side: importable without any LLM package."""

__dist__ = "cipher-search"
