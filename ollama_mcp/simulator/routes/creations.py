"""POST /api/create: a model from another one, or from uploaded files."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime

from ollama_mcp.formats.gguf import Header
from ollama_mcp.formats.names import ModelName
from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.capabilities import template_fault
from ollama_mcp.simulator.cards import CHATML
from ollama_mcp.simulator.encoding import Object, as_list, as_object
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.routes.imports import bad, check_file, imported, like_chatml
from ollama_mcp.simulator.routes.pulls import pulling, send_progress
from ollama_mcp.simulator.store import Layer, Model, digest_of

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
_KNOWN_CAPABILITIES = ("completion", "tools", "insert", "vision", "embedding", "thinking", "audio", "decision")


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
    # The Modelfile of servers before v0.5.5 is an unknown field and comes to nothing here.
    if not files and not origin:
        raise bad(machine, "neither 'from' or 'files' was specified")
    for path, digest in files.items():
        check_file(machine, path, digest)
    base = Model(name, Header({}), Layer.of("model", b""))
    async for line in _origin(machine, origin) if origin else imported(machine, name, files):
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
    elif fresh and like_chatml(model.header.chat_template):
        stops = {"stop": ["<|im_start|>", "<|im_end|>"]}
        model = replace(model, template=CHATML, parameters=stops)
        lines.append("using autodetected template chatml")
    model = _with_fields(machine, model, body)
    # The detected template is told by name and not as a layer.
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
                raise bad(machine, f'unknown capability "{capability}"')
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
    # The short name is an alias.
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


def _check_template(machine: Machine, template: str) -> None:
    if fault := template_fault(template):
        raise bad(machine, f"template error: {fault}")
