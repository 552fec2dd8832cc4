"""How clients begin, by what hosts and libraries were seen to send in November 2026."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
_META = "io.modelcontextprotocol"
_FORM: Message = {"form": {}, "url": {}}
_ROOTS = {"roots": {"listChanged": True}}
_UI = {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}}
_CLAUDE = {
    "name": "claude-code",
    "title": "Claude Code",
    "version": "2.1.332",
    "description": "Anthropic's agentic coding tool",
    "websiteUrl": "https://claude.com/claude-code",
}


def _handshake(name: str | Message, version: str, capabilities: Message, *, first: int | str = 0) -> list[Message]:
    """Initialize, then all that a client may ask for before its first call; ids count on from the first."""
    info = {"name": name, "version": "1.0.0"} if isinstance(name, str) else name
    params: Message = {"protocolVersion": version, "capabilities": capabilities, "clientInfo": info}
    ids = [f"{first}-{number}" if isinstance(first, str) else first + number for number in range(6)]
    asked = [
        {"jsonrpc": "2.0", "id": each, "method": name} for each, name in zip(ids[1:], ("ping", *LISTS), strict=True)
    ]
    return [
        {"jsonrpc": "2.0", "id": ids[0], "method": "initialize", "params": params},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        *asked,
    ]


def _modern(capabilities: Message, info: Message | None = None, *, first: int | str = 1) -> list[Message]:
    """Discover, then the lists, each with its envelope."""
    meta: Message = {f"{_META}/protocolVersion": "2026-07-28", f"{_META}/clientCapabilities": capabilities}
    meta |= {} if info is None else {f"{_META}/clientInfo": info}
    return [
        {
            "jsonrpc": "2.0",
            "id": f"{first}-{number}" if isinstance(first, str) else first + number,
            "method": name,
            "params": {"_meta": meta},
        }
        for number, name in enumerate(("server/discover", *LISTS))
    ]


def _with_params(messages: list[Message], params: Message) -> list[Message]:
    return [
        message if "params" in message or "id" not in message else {**message, "params": params} for message in messages
    ]


_CODEX_INFO = {"name": "codex-mcp-client", "title": "Codex", "version": "0.171.0"}
_TASKS: Message = {
    "list": {},
    "cancel": {},
    "requests": {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}},
}

FORMS: dict[str, list[Message]] = {
    "claude code, modern": _modern(
        {"roots": {}, "elicitation": _FORM, "extensions": {"io.modelcontextprotocol/tasks": {}}},
        _CLAUDE,
        first="server-discover-probe-1",
    ),
    "claude code, handshake": _handshake(_CLAUDE, "2025-11-25", {"roots": {}, "elicitation": _FORM}),
    "claude code, probe and then the handshake": [
        *_modern({"elicitation": {}, "roots": {}}, _CLAUDE, first="server-discover-probe")[:1],
        *_handshake(_CLAUDE, "2025-11-25", {"roots": {}, "elicitation": {}}),
    ],
    "claude desktop": _handshake("claude-ai", "2025-11-25", {}),
    "codex": _with_params(_handshake(_CODEX_INFO, "2025-06-18", {"elicitation": _FORM}), {}),
    "gemini cli": _handshake("gemini-cli-mcp-client", "2025-06-18", _ROOTS),
    "opencode": _handshake("opencode", "2025-11-25", _ROOTS),
    "qwen code": _handshake("qwen-cli-mcp-client-ollama", "2025-11-25", {**_ROOTS, **_UI}),
    "copilot cli": [
        *_modern({"sampling": {}, "elicitation": _FORM}, {"name": "copilot-cli", "version": "1"}, first=100)[:1],
        *_handshake("copilot-cli", "2025-11-25", {"sampling": {}, "elicitation": _FORM}),
    ],
    "cline": _handshake("@cline/core", "2024-11-05", {}),
    "continue": _handshake("continue-cli-client", "2025-11-25", {}, first=1),
    "vs code": _handshake(
        "Visual Studio Code", "2025-11-25", {**_ROOTS, "sampling": {}, "elicitation": _FORM, "tasks": _TASKS}, first=1
    ),
    "cursor": _handshake("cursor-vscode", "2025-06-18", {"tools": {}, "prompts": {}, **_ROOTS, "elicitation": {}}),
    "python sdk, before 1.12": _with_params(_handshake("mcp", "2024-11-05", {"experimental": {}}), {}),
    "python sdk, auto": _modern({}, {"name": "mcp", "version": "0.1.0"}),
    "a client without a name": _modern({}),
    "typescript sdk, with progress": _with_params(
        _handshake("raw", "2025-03-26", {"experimental": {"x": {"y": [1.5, None]}}}), {"_meta": {"progressToken": 7}}
    ),
    "a version that nobody knows": _handshake("raw", "2099-01-01", {}, first="7"),
    "the modern version in a handshake": _handshake("raw", "2026-07-28", {}, first=2**40),
}
