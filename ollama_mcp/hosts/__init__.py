"""The Ollama hosts of a process, and what is known of their models."""

from ollama_mcp.hosts.opening import open_pool
from ollama_mcp.hosts.pool import HostPool

__all__ = ["HostPool", "open_pool"]
