"""POST /api/pull and /api/push with their progress, and HEAD and POST /api/blobs/:digest."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.model_names import DEFAULT_HOST, DEFAULT_NAMESPACE, ModelName, parse_name
from ollama_mcp.simulator import go_json
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.go_json import Object
from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.library import MODELS_BY_NAME, LibraryModel
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.registry import PROGRESS_INTERVAL
from ollama_mcp.simulator.response import JSON, JSON_WITHOUT_CHARSET, ResponseWriter
from ollama_mcp.simulator.store import Layer, StoredModel, from_library

TRANSFER_FIELDS = go_json.struct(
    "PullRequest",
    {"model": go_json.string, "name": go_json.string, "insecure": go_json.boolean, "stream": go_json.boolean},
)
_HUGGING_FACE = ("hf.co", "huggingface.co")
_MODELS_FOLDER = "/usr/share/ollama/.ollama/models"
_DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")
# Enough for the token lists in the header of a GGUF file.
_BLOB_HEAD_BYTES = 64 * 1024 * 1024
# Namespaces for which the registry fails, and its error.
_FAILING_NAMESPACES = {
    "denied": "open /usr/share/ollama/.ollama/id_ed25519: no such file or directory",
    "rate": '429: {"errors":[{"code":"TOOMANYREQUESTS"}]}',
    "err": '500: {"errors":[{"code":"BOOM"}]}',
    "newer": "412: The model you are attempting to pull requires a newer version of Ollama",
}


async def pull(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Pull a model from a registry."""
    body = TRANSFER_FIELDS(go_json.parse(request.body), "")
    name = machine.checked_name(body.get("model") or body.get("name") or "")
    lines = pull_lines(machine, name, insecure=body.get("insecure", False))
    await send_progress(machine, response, lines, stream=body.get("stream", True))


async def send_progress(
    machine: Machine, response: ResponseWriter, lines: AsyncGenerator[Object], *, stream: bool
) -> None:
    """Send progress as lines of a stream; without streaming only the last one, as one object."""
    response.expect_stream(lines_only=stream and not machine.generation.status_before_stream)
    last: Object = {}
    async for line in lines:
        last = line
        if stream:
            await response.line(line)
            # Without an await, a disconnect would go unnoticed until the last line.
            await asyncio.sleep(0)
    if not stream:
        response.json(last, content_type=JSON_WITHOUT_CHARSET)


async def pull_lines(machine: Machine, name: ModelName, *, insecure: bool = False) -> AsyncGenerator[Object]:
    """Pull a model, yielding the lines of the stream.

    Raises:
        ErrorResponse: 500 with the error of the registry, the network, or a full disk.
    """
    # Sent before the registry is contacted, so that its errors are lines of a 200 response.
    yield {"status": "pulling manifest"}
    model = find_in_registry(machine, name, insecure=insecure)
    for layer in (*model.layers, model.config):
        async for line in _download_layer(machine, layer):
            yield line
    yield {"status": "verifying sha256 digest"}
    yield {"status": "writing manifest"}
    machine.store.add(replace(model, name=name, modified=datetime.now(UTC)))
    yield {"status": "success"}


def find_in_registry(machine: Machine, name: ModelName, *, insecure: bool) -> StoredModel:
    """The model of a name in the registry.

    Raises:
        ErrorResponse: 500, the model is missing, or the registry is unreachable or rejects the request.
    """
    scheme = "http" if insecure else "https"
    address = f'Get "{scheme}://{name.host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"'
    if error := _connection_error(machine, name.host, insecure=insecure):
        raise _manifest_error(f"{address}: {error}")
    if error := _FAILING_NAMESPACES.get(name.namespace):
        raise _manifest_error(error)
    if name.model in machine.registry.models:
        return machine.registry.models[name.model]
    # Hugging Face has no list of models here: any GGUF repository exists.
    if name.host in _HUGGING_FACE and name.model.lower().endswith("-gguf"):
        return from_library(LibraryModel(name.short, "llama", 1.24e9, 807_694_464, 131_072, 2048))
    is_library = name.namespace == DEFAULT_NAMESPACE
    model = MODELS_BY_NAME.get(f"{name.model}:{name.tag}".lower()) if is_library else None
    if model is None:
        raise _manifest_error("file does not exist")
    return from_library(model)


def _connection_error(machine: Machine, host: str, *, insecure: bool) -> str:
    if not machine.registry.up:
        return f"dial tcp: lookup {host} on 127.0.0.53:53: no such host"
    if host in (DEFAULT_HOST, *_HUGGING_FACE):
        return ""
    if host not in machine.registry.hosts:
        return f"dial tcp {host}: connect: connection refused"
    # Other registries speak plain HTTP, which fails unless the request is insecure.
    return "" if insecure else "tls: first record does not look like a TLS handshake"


def _manifest_error(text: str) -> ErrorResponse:
    return ErrorResponse(500, f"pull model manifest: {text}")


async def _download_layer(machine: Machine, layer: Layer) -> AsyncGenerator[Object]:
    status = f"pulling {layer.digest.removeprefix('sha256:')[:12]}"
    line: Object = {"status": status, "digest": layer.digest, "total": layer.size}
    # A blob that exists has one complete line.
    if layer.digest in machine.store.blobs:
        yield {**line, "completed": layer.size}
        return
    if machine.registry.disk_free is not None and layer.size > machine.registry.disk_free:
        name = layer.digest.replace(":", "-")
        raise ErrorResponse(500, f"write {_MODELS_FOLDER}/blobs/{name}-partial: no space left on device")
    async for completed in machine.downloads.watch(layer):
        # Go omits `completed` while it is zero.
        yield {**line, "completed": completed} if completed else line


async def push(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Push a model to a registry."""
    body = TRANSFER_FIELDS(go_json.parse(request.body), "")
    name = body.get("model") or body.get("name") or ""
    if not name:
        raise ErrorResponse(400, "model is required")
    await send_progress(machine, response, _push_lines(machine, name), stream=body.get("stream", True))


async def _push_lines(machine: Machine, name: str) -> AsyncGenerator[Object]:
    yield {"status": "retrieving manifest"}
    model = machine.store.find(name)
    if model is None:
        yield {"status": "couldn't retrieve manifest"}
        raise ErrorResponse(500, _missing_manifest(machine, name))
    if not machine.registry.up:
        raise ErrorResponse(500, f"dial tcp: lookup {model.name.host} on 127.0.0.53:53: no such host")
    # The library is read-only, and every other namespace needs an account.
    may_push = model.name.namespace != DEFAULT_NAMESPACE and machine.account == "signed_in"
    if model.name.host == DEFAULT_HOST and not may_push:
        raise ErrorResponse(500, "unauthorized: access denied")
    for layer in (*model.layers, model.config):
        async for line in _upload_layer(machine, layer):
            yield line
    yield {"status": "pushing manifest"}
    yield {"status": "success"}


def _missing_manifest(machine: Machine, wanted: str) -> str:
    try:
        name = parse_name(wanted)
    except InvalidArgument:
        if not machine.generation.since(0, 7, 0):
            return "file does not exist"
        return f"unqualified name: {DEFAULT_HOST}/{DEFAULT_NAMESPACE}/{wanted}:latest"
    path = f"{_MODELS_FOLDER}/manifests/{name.host}/{name.namespace}/{name.model}/{name.tag}"
    return f"open {path}: no such file or directory"


async def _upload_layer(machine: Machine, layer: Layer) -> AsyncGenerator[Object]:
    status = f"pushing {layer.digest.removeprefix('sha256:')[:12]}"
    line: Object = {"status": status, "digest": layer.digest, "total": layer.size}
    sent = 0
    while sent < layer.size:
        await asyncio.sleep(min(PROGRESS_INTERVAL, layer.size / machine.latency.transfer))
        sent = min(layer.size, sent + max(1, int(machine.latency.transfer * PROGRESS_INTERVAL)))
        yield {**line, "completed": sent}


class BlobUpload:
    """The body of an upload, hashed as it arrives; only its first bytes are kept."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._head = bytearray()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._size += len(data)
        self._head += data[: _BLOB_HEAD_BYTES - len(self._head)]

    @property
    def layer(self) -> Layer:
        """The layer of the received bytes."""
        return Layer("blob", f"sha256:{self._hash.hexdigest()}", self._size)

    @property
    def head(self) -> bytes:
        """The first bytes."""
        return bytes(self._head)


async def check_blob(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Tell whether a blob exists."""
    digest = _digest(request)
    if digest in machine.store.blobs:
        response.send(200)
    else:
        response.send(404, content_type=JSON)


async def store_blob(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Store a blob under the digest of its content."""
    digest = _digest(request)
    # The real server does not read the body of a blob that it has.
    if digest in machine.store.blobs:
        return response.send(200)
    upload = request.body_sink if isinstance(request.body_sink, BlobUpload) else BlobUpload()
    # Stored before the comparison: the real server stores a mismatch too.
    machine.store.add_blob(upload.layer, upload.head)
    # Compared as the client wrote it: "sha256-..." and upper case are a mismatch too.
    requested = request.path.rsplit("/", 1)[1]
    if upload.layer.digest != requested:
        raise ErrorResponse(400, f'digest mismatch, expected "{requested}", got "{upload.layer.digest}"')
    response.send(201)


def _digest(request: HttpRequest) -> str:
    digest = request.path.rsplit("/", 1)[1]
    if not _DIGEST.fullmatch(digest):
        raise ErrorResponse(400, "invalid digest format")
    return digest.replace("-", ":").lower()
