"""Assembles the MCP server: the tool decorator, loading, arguments, results, errors, progress, transports."""
