"""One prompt, some questions or an embedding over many inputs, with nothing passing through the agent."""

from ollama_mcp.work.batch.order import Order
from ollama_mcp.work.batch.running import Report, run_batch

__all__ = ["Order", "Report", "run_batch"]
