"""One prompt, or a few, on several models: their answers and figures side by side."""

from ollama_mcp.work.compare.results import Comparison, Row, Trial
from ollama_mcp.work.compare.running import Order, compare

__all__ = ["Comparison", "Order", "Row", "Trial", "compare"]
