"""How MCP clients reach the server: stdio, streamable HTTP and SSE, each for any `MCPServer`.

Nothing is imported here: a stdio process must not pay for the HTTP stack.

    stdio  -> stdio, pipes, lines   -> connection    -> the SDK's request handling
    SSE    -> http, guard, http_app -> connection    -> the SDK's request handling
    HTTP   -> http, guard, http_app -> client_limits -> the SDK's session manager
"""

MAX_MESSAGE_BYTES = 72 * 1024 * 1024
"""Longest stdio line and largest HTTP body: room for a 50 MB file as base64 and the JSON around it."""
