"""The third-party clients from npm: the official conformance suite and the MCP Inspector."""

from __future__ import annotations

from pathlib import Path

from tests import installed

_MODULES = "node_modules/@modelcontextprotocol"


def conformance(*arguments: str) -> list[str]:
    """Command line of the official conformance suite."""
    return [_node(), str(_installed() / _MODULES / "conformance/dist/index.js"), *arguments]


def inspector(*arguments: str) -> list[str]:
    """Command line of the MCP Inspector."""
    script = _installed() / "node_modules/.bin/mcp-inspector"
    return [_node(), str(script.resolve()), "--cli", *arguments]


def _installed() -> Path:
    return installed.from_npm(Path(__file__).parent)


def _node() -> str:
    return str(_installed() / "node_modules/node/bin/node")
