"""POST /api/pull: a download that is simulated with its repeated progress lines, resumption and shared progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime

from ollama_mcp.formats.names import DEFAULT_HOST, DEFAULT_NAMESPACE, ModelName
from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.cards import REGISTRY, Card
from ollama_mcp.simulator.encoding import Object
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import BARE_JSON, Reply
from ollama_mcp.simulator.store import Layer, Model, model_of

TRANSFER = decoding.struct(
    "PullRequest",
    {"model": decoding.string, "name": decoding.string, "insecure": decoding.boolean, "stream": decoding.boolean},
)
_HUGGING_FACE = ("hf.co", "huggingface.co")
_BY_NAMESPACE = {
    "denied": "open /usr/share/ollama/.ollama/id_ed25519: no such file or directory",
    "rate": '429: {"errors":[{"code":"TOOMANYREQUESTS"}]}',
    "err": '500: {"errors":[{"code":"BOOM"}]}',
    "newer": "412: The model you are attempting to pull requires a newer version of Ollama",
}


async def pull(machine: Machine, request: Request, reply: Reply) -> None:
    """A model fetched from a registry."""
    body = TRANSFER(decoding.parse(request.body), "")
    name = machine.name(body.get("model") or body.get("name") or "")
    lines = pulling(machine, name, insecure=body.get("insecure", False))
    await send_progress(machine, reply, lines, stream=body.get("stream", True))


async def send_progress(machine: Machine, reply: Reply, lines: AsyncGenerator[Object], *, stream: bool) -> None:
    """Progress as lines of a stream; without stream only the last one, as one object."""
    reply.expect_stream(lines_only=stream and not machine.generation.status_before_stream)
    last: Object = {}
    async for line in lines:
        last = line
        if stream:
            await reply.line(line)
            # Lines that cost nothing must still let a client's farewell through.
            await asyncio.sleep(0)
    if not stream:
        reply.json(last, content_type=BARE_JSON)


async def pulling(machine: Machine, name: ModelName, *, insecure: bool = False) -> AsyncGenerator[Object]:
    """The lines of a pull.

    Raises:
        Failure: 500 with the words of the registry, or of the network, or of a full disk.
    """
    yield {"status": "pulling manifest"}
    model = find(machine, name, insecure=insecure)
    for layer in (*model.layers, model.config):
        async for line in _fetch(machine, layer):
            yield line
    yield {"status": "verifying sha256 digest"}
    yield {"status": "writing manifest"}
    machine.store.put(replace(model, name=name, modified=datetime.now(UTC)))
    yield {"status": "success"}


def find(machine: Machine, name: ModelName, *, insecure: bool) -> Model:
    """The model of a name as the registry has it.

    Raises:
        Failure: 500, there is none, or the registry cannot or will not say.
    """
    scheme = "http" if insecure else "https"
    address = f'Get "{scheme}://{name.host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"'
    if problem := _unreachable(machine, name.host, insecure=insecure):
        raise _refused(f"{address}: {problem}")
    if problem := _BY_NAMESPACE.get(name.namespace):
        raise _refused(problem)
    if name.model in machine.registry.models:
        return machine.registry.models[name.model]
    if name.host in _HUGGING_FACE and name.model.lower().endswith("-gguf"):
        return model_of(Card(name.short, "llama", 1.24e9, 807_694_464, 131_072, 2048))
    card = REGISTRY.get(f"{name.model}:{name.tag}".lower()) if name.namespace == DEFAULT_NAMESPACE else None
    if card is None:
        raise _refused("file does not exist")
    return model_of(card)


def _unreachable(machine: Machine, host: str, *, insecure: bool) -> str:
    if not machine.registry.up:
        return f"dial tcp: lookup {host} on 127.0.0.53:53: no such host"
    if host in (DEFAULT_HOST, *_HUGGING_FACE):
        return ""
    if host not in machine.registry.hosts:
        return f"dial tcp {host}: connect: connection refused"
    return "" if insecure else "tls: first record does not look like a TLS handshake"


def _refused(text: str) -> Failure:
    return Failure(500, f"pull model manifest: {text}")


async def _fetch(machine: Machine, layer: Layer) -> AsyncGenerator[Object]:
    status = f"pulling {layer.digest.removeprefix('sha256:')[:12]}"
    line: Object = {"status": status, "digest": layer.digest, "total": layer.size}
    # One complete line for a blob that is there already.
    if layer.digest in machine.store.blobs:
        yield {**line, "completed": layer.size}
        return
    if machine.registry.disk_free is not None and layer.size > machine.registry.disk_free:
        folder = "/usr/share/ollama/.ollama/models/blobs"
        name = layer.digest.replace(":", "-")
        raise Failure(500, f"write {folder}/{name}-partial: no space left on device")
    async for completed in machine.downloads.watch(layer):
        yield {**line, "completed": completed} if completed else line
