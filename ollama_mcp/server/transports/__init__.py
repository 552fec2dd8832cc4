"""How MCP clients reach the server: stdio, streamable HTTP and SSE, each over any `MCPServer`.

Nothing is imported here: a stdio process must not pay for the HTTP stack, nor the other way round.
"""
