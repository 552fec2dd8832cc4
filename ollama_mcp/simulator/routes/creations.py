"""POST /api/create: a model from another one, or from uploaded files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.gguf import MAGIC, Header, read_header
from ollama_mcp.formats.names import ModelName
from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.cards import CHATML
from ollama_mcp.simulator.encoding import Object, as_list, as_object
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.routes.pulls import pulling, send_progress
from ollama_mcp.simulator.store import BLOB_FOLDER, Layer, Model, digest_of

_REQUEST = decoding.struct(
    "CreateRequest",
    dict.fromkeys(("model", "name", "from", "template", "system", "quantize", "quantization"), decoding.string)
    | dict.fromkeys(("files", "adapters", "parameters", "info"), decoding.mapping)
    | {
        "license": decoding.anything,
        "messages": decoding.list_of(decoding.mapping, "[]api.Message"),
        "capabilities": decoding.list_of(decoding.string, "[]string"),
        "stream": decoding.boolean,
    },
)
_QUANTIZATIONS = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_K_S": 14, "Q4_K_M": 15}
_QUANTIZABLE = ("F32", "F16", "BF16")
_SAFETENSORS = {
    "LlamaForCausalLM": "llama",
    "BertModel": "bert",
    "Qwen3ForCausalLM": "qwen3",
    "Gemma3ForCausalLM": "gemma3",
}
_KNOWN_CAPABILITIES = ("completion", "tools", "insert", "vision", "embedding", "thinking", "audio", "decision")
# Ollama replaces a chat template that differs from one that it knows by less than this many letters.
_ALIKE = 100
_CHATML_JINJA = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'"
    "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


async def create(machine: Machine, request: Request, reply: Reply) -> None:
    """A new model."""
    body = _REQUEST(decoding.parse(request.body), "")
    try:
        name = machine.name(body.get("model") or body.get("name") or "")
    except Failure:
        raise Failure(400, "invalid model name") from None
    stream = body.get("stream", True)
    await send_progress(machine, reply, _creating(machine, name, body), stream=stream)


async def _creating(machine: Machine, name: ModelName, body: Object) -> AsyncGenerator[Object]:
    files, origin = as_object(body.get("files")), body.get("from", "")
    if not files and not origin:
        raise _bad(machine, "neither 'from' or 'files' was specified")
    for path, digest in files.items():
        _check_file(machine, path, digest)
    base = Model(name, Header({}), Layer.of("model", b""))
    async for line in _origin(machine, origin) if origin else _imported(machine, name, files):
        if isinstance(line, Model):
            base = line
        else:
            yield line
    if base.family:
        lines, model = _derived(machine, base, name, body, fresh=not origin)
        for status in lines:
            yield {"status": status}
    else:
        # Servers before v0.7.0 went on after a base that could not be had, and wrote a model without weights.
        model = base
    machine.store.put(model)
    yield {"status": "writing manifest"}
    yield {"status": "success"}


async def _origin(machine: Machine, origin: str) -> AsyncGenerator[Object | Model]:
    """The model that a new one is made from, after the lines of its pull if it has to be fetched."""
    model = machine.store.find(origin)
    if model is None:
        try:
            async for line in pulling(machine, machine.name(origin)):
                yield line
        except Failure as failure:
            if machine.generation.since(0, 7, 0):
                raise
            yield failure.body
            return
        model = machine.model(origin)
    yield model


def _check_file(machine: Machine, path: str, digest: Any) -> None:
    if path.startswith("/") or ".." in path.split("/"):
        raise _bad(machine, "file path must be relative")
    if not isinstance(digest, str) or not re.fullmatch(r"sha256[:-][0-9a-fA-F]{64}", digest):
        raise _bad(machine, "invalid digest format")


async def _imported(machine: Machine, name: ModelName, files: Object) -> AsyncGenerator[Object | Model]:
    """A model out of uploaded files."""
    if any(path.endswith(".safetensors") for path in files):
        yield {"status": "converting model"}
        header, size = _converted(machine, files), sum(machine.store.blobs.get(digest, 0) for digest in files.values())
        yield Model(name, header, Layer("model", digest_of(json.dumps(files).encode()), size))
        return
    path, digest = next(iter(files.items()))
    beginning = machine.store.beginnings.get(digest, b"")
    if not path.endswith(".gguf") and digest in machine.store.blobs and not beginning.startswith(MAGIC):
        raise _bad(machine, "unknown type")
    yield {"status": "parsing GGUF"}
    weights, header = Layer("model", digest, machine.store.blobs.get(digest, 0)), _header(machine, digest)
    if machine.generation.native_templates:
        yield {"status": "verifying conversion"}
        weights = Layer("model", digest_of(digest.encode()), weights.size + 64)
        header = Header(
            {"general.file_type": 1024, **header.metadata, "general.quantization_version": 2}, header.tensors
        )
    parent = "" if machine.generation.native_templates else f"{BLOB_FOLDER}{digest.removeprefix('sha256:')}"
    yield Model(name, header, weights, parent=parent)


def _header(machine: Machine, digest: str) -> Header:
    if digest not in machine.store.blobs:
        raise Failure(500, f"open {BLOB_FOLDER}{digest.removeprefix('sha256:')}: no such file or directory")
    beginning = machine.store.beginnings.get(digest, b"")
    try:
        return read_header(io.BytesIO(beginning), machine.store.blobs[digest], longest_array=1 << 20)
    except InvalidArgument:
        raise Failure(500, "supplied file was not in GGUF format") from None


def _converted(machine: Machine, files: Object) -> Header:
    config = machine.store.beginnings.get(str(files.get("config.json", "")), b"{}")
    try:
        described = as_object(json.loads(config))
    except ValueError:
        described = {}
    kind = str(next(iter(as_list(described.get("architectures"))), ""))
    if kind not in _SAFETENSORS:
        raise Failure(500, f'unsupported architecture "{kind}"')
    family = _SAFETENSORS[kind]
    keys = {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
    }
    metadata = {f"{family}.{ours}": described[theirs] for ours, theirs in keys.items() if theirs in described}
    return Header({"general.architecture": family, "general.file_type": 1, **metadata})


def _derived(machine: Machine, base: Model, name: ModelName, body: Object, *, fresh: bool) -> tuple[list[str], Model]:
    """The new model, and the lines that tell of its layers."""
    lines: list[str] = []
    model = replace(base, name=name, modified=datetime.now(UTC), parent=base.parent if fresh else base.name.short)
    if machine.generation.native_templates and fresh:
        model = replace(model, parent="")
    if kind := body.get("quantize") or body.get("quantization"):
        model = _quantized(machine, model, str(kind).upper())
        lines.append("verifying conversion")
        if not machine.generation.native_templates:
            lines[-1:] = [f"quantizing {base.quantization_level} model to {model.quantization_level}"]
    lines.append(_layer_line(machine, model.weights))
    template = body.get("template", "")
    if template:
        _check_template(machine, template)
        model = replace(model, template=template)
    elif fresh and _like_chatml(model.header.chat_template):
        stops = {"stop": ["<|im_start|>", "<|im_end|>"]}
        model = replace(model, template=CHATML, parameters=stops)
        lines.append("using autodetected template chatml")
    model = _with_fields(machine, model, body)
    silent = {Layer.of("template", CHATML.encode()).digest} if fresh and not template else set[str]()
    lines += [_layer_line(machine, layer) for layer in model.layers[1:] if layer.digest not in silent]
    return lines, model


def _with_fields(machine: Machine, model: Model, body: Object) -> Model:
    parameters = {**model.parameters, **as_object(body.get("parameters"))}
    given = body.get("license")
    texts = [given] if isinstance(given, str) else [text for text in as_list(given) if isinstance(text, str)]
    messages = tuple(as_object(message) for message in as_list(body.get("messages"))) or model.messages
    declared = model.declared
    if machine.generation.decides:
        for capability in as_list(body.get("capabilities")):
            if capability not in _KNOWN_CAPABILITIES:
                raise _bad(machine, f'unknown capability "{capability}"')
            declared = tuple(dict.fromkeys((*declared, capability)))
    return replace(
        model,
        system=body.get("system") or model.system,
        parameters=parameters,
        licenses=(*model.licenses, *texts),
        messages=messages,
        declared=declared,
    )


def _quantized(machine: Machine, model: Model, kind: str) -> Model:
    kind = "Q4_K_M" if kind == "Q4_K" else kind
    if kind not in _QUANTIZATIONS:
        if not machine.generation.since(0, 7, 0):
            raise Failure(500, f"unknown fileType: {kind}")
        supported = "F32, F16, Q4_K_S, Q4_K_M, Q8_0"
        raise Failure(500, f"unsupported quantization type {kind} - supported types are {supported}")
    if model.quantization_level not in _QUANTIZABLE:
        allowed = "F16, BF16 and F32" if machine.generation.since(0, 18, 0) else "F16 and F32"
        raise Failure(500, f"quantization is only supported for {allowed} models")
    metadata = {**model.header.metadata, "general.file_type": _QUANTIZATIONS[kind]}
    weights = Layer("model", digest_of(f"{model.weights.digest}{kind}".encode()), model.weights.size // 2)
    return replace(model, header=Header(metadata, model.header.tensors), weights=weights)


def _layer_line(machine: Machine, layer: Layer) -> str:
    known = layer.digest in machine.store.blobs
    return f"{'using existing' if known else 'creating new'} layer {layer.digest}"


def _like_chatml(template: str) -> bool:
    """Whether Ollama would take this chat template for its own one of that name, by the letters that differ."""
    if not template or abs(len(template) - len(_CHATML_JINJA)) >= _ALIKE:
        return False
    row = list(range(len(_CHATML_JINJA) + 1))
    for place, letter in enumerate(template, 1):
        above, row = row, [place]
        for column, other in enumerate(_CHATML_JINJA):
            row.append(min(above[column] + (letter != other), above[column + 1] + 1, row[column] + 1))
    return row[-1] < _ALIKE


def _check_template(machine: Machine, template: str) -> None:
    if template.count("{{") != template.count("}}"):
        raise _bad(machine, "template error: template: :1: unclosed action")


def _bad(machine: Machine, text: str) -> Failure:
    """400; servers before v0.12.6 wrote the status into the line."""
    failure = Failure(400, text)
    if not machine.generation.status_before_stream:
        failure.body["status"] = 400
    return failure
