"""POST /api/push."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.names import DEFAULT_HOST, DEFAULT_NAMESPACE, parse_name
from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.downloads import TICK
from ollama_mcp.simulator.encoding import Object
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.routes.pulls import TRANSFER, send_progress
from ollama_mcp.simulator.store import Layer

_MANIFESTS = "/usr/share/ollama/.ollama/models/manifests"


async def push(machine: Machine, request: Request, reply: Reply) -> None:
    """A model sent to a registry."""
    body = TRANSFER(decoding.parse(request.body), "")
    wanted = body.get("model") or body.get("name") or ""
    if not wanted:
        raise Failure(400, "model is required")
    await send_progress(machine, reply, _pushing(machine, wanted), stream=body.get("stream", True))


async def _pushing(machine: Machine, wanted: str) -> AsyncGenerator[Object]:
    yield {"status": "retrieving manifest"}
    model = machine.store.find(wanted)
    if model is None:
        yield {"status": "couldn't retrieve manifest"}
        raise Failure(500, _unknown(machine, wanted))
    if not machine.registry.up:
        raise Failure(500, f"dial tcp: lookup {model.name.host} on 127.0.0.53:53: no such host")
    # Nobody may write to the library, and nowhere without an account.
    own = model.name.namespace != DEFAULT_NAMESPACE and machine.account == "signed_in"
    if model.name.host == DEFAULT_HOST and not own:
        raise Failure(500, "unauthorized: access denied")
    for layer in (*model.layers, model.config):
        async for line in _send(machine, layer):
            yield line
    yield {"status": "pushing manifest"}
    yield {"status": "success"}


def _unknown(machine: Machine, wanted: str) -> str:
    try:
        name = parse_name(wanted)
    except InvalidArgument:
        if not machine.generation.since(0, 7, 0):
            return "file does not exist"
        return f"unqualified name: {DEFAULT_HOST}/{DEFAULT_NAMESPACE}/{wanted}:latest"
    return f"open {_MANIFESTS}/{name.host}/{name.namespace}/{name.model}/{name.tag}: no such file or directory"


async def _send(machine: Machine, layer: Layer) -> AsyncGenerator[Object]:
    status = f"pushing {layer.digest.removeprefix('sha256:')[:12]}"
    line: Object = {"status": status, "digest": layer.digest, "total": layer.size}
    sent = 0
    while sent < layer.size:
        await asyncio.sleep(min(TICK, layer.size / machine.latency.transfer))
        sent = min(layer.size, sent + max(1, int(machine.latency.transfer * TICK)))
        yield {**line, "completed": sent}
