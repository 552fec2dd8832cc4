"""Which Ollama host serves a call. One host is a pool of one."""

from ollama_mcp.hosts.pool import HostPool

__all__ = ["HostPool"]
