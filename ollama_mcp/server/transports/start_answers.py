"""What a server answers to a client that starts, byte for byte, for `front` to answer before the server is loaded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from mcp.server import MCPServer
from mcp.types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from ollama_mcp.front import PREFIX
from ollama_mcp.server.sdk import lowlevel_server
from ollama_mcp.server.transports.connection import serve_stream
from ollama_mcp.server.transports.lines import LineReader, LineWriter
from ollama_mcp.server.transports.stdio import LineSink, LineSource

_LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
_SECONDS = 60.0


async def start_answers(server: MCPServer) -> dict[str, Any]:
    """The answers by "version method", each as a number in `bodies`: what follows the id.

    `negotiated` has the version of a session by the one that its client names ("" for any unknown one), `modern` the
    versions without sessions.

    Raises:
        ValueError: The server refuses a request of a start.
    """
    core = lowlevel_server(server)
    found: dict[str, str] = {}
    negotiated: dict[str, str] = {}
    async with core.lifespan(core) as state:
        found[" ping"] = (await _answers(core, state, [("ping", {})]))[0]
        for wanted in (*HANDSHAKE_PROTOCOL_VERSIONS, ""):
            client = {"protocolVersion": wanted, "capabilities": {}, "clientInfo": {"name": "", "version": ""}}
            methods = ("ping", *_LISTS)
            first, *rest = await _answers(core, state, [("initialize", client), *((name, {}) for name in methods)])
            version = negotiated[wanted] = json.loads("{" + first[1:])["result"]["protocolVersion"]
            found |= {
                f"{version} {name}": body for name, body in zip(("initialize", *methods), (first, *rest), strict=True)
            }
        for version in MODERN_PROTOCOL_VERSIONS:
            params: dict[str, Any] = {"_meta": {PROTOCOL_VERSION_META_KEY: version, CLIENT_CAPABILITIES_META_KEY: {}}}
            methods = ("server/discover", *_LISTS)
            bodies = await _answers(core, state, [(name, params) for name in methods])
            found |= {f"{version} {name}": body for name, body in zip(methods, bodies, strict=True)}
    bodies = list(dict.fromkeys(found.values()))  # most versions share them
    return {
        "answers": {name: bodies.index(body) for name, body in found.items()},
        "bodies": bodies,
        "negotiated": negotiated,
        "modern": list(MODERN_PROTOCOL_VERSIONS),
    }


async def _answers(core: Any, state: Any, requests: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """What the answers of one connection have behind their ids."""
    written = _Written()
    reader, writer = LineReader(), LineWriter(lambda: None)
    writer.connection_made(written)
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
        for number, (method, params) in enumerate(requests)
    ]
    reader.data_received(b"\n".join(lines))
    reader.connection_lost(None)
    sink = LineSink(writer)
    await serve_stream(core, LineSource(reader, sink), sink, state, grace_seconds=_SECONDS)
    answers = b"".join(written.parts).decode().splitlines()
    by_id = {json.loads(answer)["id"]: answer for answer in answers}
    bodies = [by_id[number].removeprefix(f"{PREFIX}{number}") for number in range(len(lines))]
    if not all(body.startswith(',"result":') for body in bodies):
        raise ValueError("a request of a start was refused")
    return bodies


class _Written(asyncio.WriteTransport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep `data`."""
        self.parts.append(bytes(data))
