"""Cascades: each row of a batch is decided by the first model that is sure enough, with a promise about the errors."""

from ollama_mcp.work.cascade.run import CascadeSpec, run_cascade

__all__ = ["CascadeSpec", "run_cascade"]
