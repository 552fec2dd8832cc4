"""The few places where we reach behind the public face of the MCP SDK's server."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from mcp.server import MCPServer
from mcp.server.lowlevel import Server


def low_level(server: MCPServer) -> Server[Any]:
    """The protocol server inside an `MCPServer`."""
    return server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  # the SDK's docs use it; no public way


def without_idle_tracing(server: MCPServer) -> None:
    """Removes the SDK's tracing middleware where no OpenTelemetry SDK is installed: it then only costs time."""
    try:
        traced = find_spec("opentelemetry.sdk") is not None
    except ModuleNotFoundError:
        traced = False
    if not traced:
        server.middleware[:] = [each for each in server.middleware if type(each).__module__ != "mcp.server._otel"]
