"""Listing, showing, copying and deleting models."""

from __future__ import annotations

import json
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.names import ModelName, parse_name
from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.capabilities import capabilities, chat_template, go_template
from ollama_mcp.simulator.encoding import Object, as_list, timestamp
from ollama_mcp.simulator.failures import Failure, missing_model
from ollama_mcp.simulator.generations import Generation
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import BARE_JSON, Reply
from ollama_mcp.simulator.routes.cloud import find_model
from ollama_mcp.simulator.store import BLOB_FOLDER, DEFAULT_TEMPLATE, Model

_NAMED = decoding.struct("DeleteRequest", {"model": decoding.string, "name": decoding.string})
_SHOW = decoding.struct(
    "ShowRequest",
    {"model": decoding.string, "name": decoding.string, "verbose": decoding.boolean, "system": decoding.string},
)
_COPY = decoding.struct("CopyRequest", {"source": decoding.string, "destination": decoding.string})


async def tags(machine: Machine, request: Request, reply: Reply) -> None:
    """All installed models."""
    reply.json({"models": [_listed(model, machine.generation) for model in machine.store.listed()]})


async def running(machine: Machine, request: Request, reply: Reply) -> None:
    """The models in memory."""
    entries: list[Object] = []
    for runner in machine.scheduler.running():
        model = runner.model
        # Go adds its longest duration to now; the real server shows that year.
        forever = runner.keep_alive < 0
        entry: Object = {
            "name": model.name.short,
            "model": model.name.short,
            "size": runner.size,
            "digest": model.digest,
            "details": {**_details(model), "parent_model": ""},
            "expires_at": "2319-03-03T00:00:00.000000001Z" if forever else timestamp(runner.expires),
            "size_vram": min(runner.size, machine.gpu_bytes),
        }
        if machine.generation.since(0, 10, 0):
            entry["context_length"] = runner.context
        entries.append(entry)
    reply.json({"models": entries})


async def show(machine: Machine, request: Request, reply: Reply) -> None:
    """Everything about a model."""
    body = _SHOW(decoding.parse(request.body), "")
    wanted = body.get("model") or body.get("name") or ""
    if not wanted:
        raise Failure(400, "model is required")
    model = machine.store.find(wanted)
    if model is None and machine.generation.trims_names:
        if not machine.name(wanted).is_cloud:
            raise missing_model(machine.name(wanted).short)
        model, _ = find_model(machine, wanted, request.path)
    if model is None:
        raise missing_model(wanted)
    reply.json(shown(model, machine.generation, verbose=body.get("verbose", False)))


async def copy(machine: Machine, request: Request, reply: Reply) -> None:
    """A second name for a model."""
    body = _COPY(decoding.parse(request.body), "")
    names = {part: _name_or_none(body.get(part, "")) for part in ("source", "destination")}
    for part, name in names.items():
        if name is None:
            raise Failure(400, f'{part} "{body.get(part, "")}" is invalid')
    model, destination = machine.store.find(body["source"]), names["destination"]
    if model is None or destination is None:
        raise Failure(404, f'model "{body["source"]}" not found')
    if destination.key != model.name.key:
        machine.store.put(model.renamed(destination))
    reply.send(200)


async def delete(machine: Machine, request: Request, reply: Reply) -> None:
    """A model removed; if it is in memory it stays there until it expires."""
    body = _NAMED(decoding.parse(request.body), "")
    wanted = body.get("model") or body.get("name") or ""
    if _name_or_none(wanted) is None:
        if not wanted and machine.generation.trims_names:
            raise Failure(400, "model is required")
        raise Failure(400, f'name "{wanted}" is invalid')
    model = machine.store.find(wanted)
    if model is None:
        raise missing_model(wanted)
    machine.store.remove(model)
    reply.send(200)


def _name_or_none(text: str) -> ModelName | None:
    try:
        return parse_name(text)
    except InvalidArgument:
        return None


def _details(model: Model) -> Object:
    return {
        "parent_model": model.parent,
        "format": "gguf" if model.family else "",
        "family": model.family,
        "families": [model.family] if model.family else None,
        "parameter_size": model.parameter_size if model.family else "",
        "quantization_level": model.quantization_level if model.family else "",
    }


def _listed(model: Model, generation: Generation) -> Object:
    details, entry = _details(model), Object()
    if generation.native_templates:
        details["context_length"] = model.header.number("context_length")
        details["embedding_length"] = model.header.number("embedding_length")
        entry["capabilities"] = capabilities(model, generation, listing=True)
    return {
        "name": model.name.short,
        "model": model.name.short,
        "modified_at": timestamp(model.modified),
        "size": model.size,
        "digest": model.digest,
        "details": details,
        **entry,
    }


def shown(model: Model, generation: Generation, *, verbose: bool) -> Object:
    """The answer of show, with the fields that the generation has."""
    fields: Object = {}
    if model.licenses:
        fields["license"] = "\n".join(model.licenses)
    fields["modelfile"] = modelfile(model)
    if model.parameters:
        fields["parameters"] = "\n".join(_parameter_lines(model.parameters))
    # llama-server renders by this one, so show tells it instead of the default.
    native = chat_template(model) if generation.native_templates and not go_template(model) else ""
    fields["template"] = native or model.template or DEFAULT_TEMPLATE
    if model.system:
        fields["system"] = model.system
    fields["details"] = _details(model)
    if model.messages:
        fields["messages"] = list(model.messages)
    fields["model_info"] = _model_info(model, generation, verbose=verbose)
    if generation.since(0, 6, 1):
        fields["tensors"] = [
            {"name": tensor.name, "type": tensor.type, "shape": list(tensor.shape)} for tensor in model.header.tensors
        ]
    if generation.has_capabilities:
        fields["capabilities"] = capabilities(model, generation)
    if generation.describes_thinking and model.levels:
        usual = True if True in model.levels else "medium"
        fields["thinking"] = {"values": list(model.levels), "default": usual}
    if generation.fills_renderer:
        fields["template_source"] = "gguf_chat_template" if native else "go_template" if go_template(model) else "none"
    fields["modified_at"] = timestamp(model.modified)
    return fields


def _model_info(model: Model, generation: Generation, *, verbose: bool) -> Object:
    hidden = ("general.name", "tokenizer.chat_template")
    info = {key: value for key, value in sorted(model.header.metadata.items()) if key not in hidden}
    info["general.parameter_count"] = model.header.parameter_count
    if not verbose and generation.since(0, 6, 1):
        info = {key: None if isinstance(value, list) else value for key, value in info.items()}
    return info


def modelfile(model: Model) -> str:
    """The model as a Modelfile, with the path of its weights as the real server tells it."""
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {model.name.short}",
        "",
        f"FROM {BLOB_FOLDER}{model.weights.digest.removeprefix('sha256:')}",
        f"TEMPLATE {_quoted(model.template or DEFAULT_TEMPLATE)}",
    ]
    if model.system:
        lines.append(f"SYSTEM {_quoted(model.system)}")
    for name, value in sorted(model.parameters.items()):
        lines += [f"PARAMETER {name} {_plain(item)}" for item in (as_list(value) or [value])]
    lines += [f"LICENSE {_quoted(text)}" for text in model.licenses]
    lines += [f"MESSAGE {message['role']} {_quoted(str(message['content']))}" for message in model.messages]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    if '"' in text:
        return f'"""{text}"""'
    return f'"{text}"' if "\n" in text or text != text.strip() else text


def _quoted_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain(value: Any) -> str:
    return str(value) if not isinstance(value, bool) else str(value).lower()


def _parameter_lines(parameters: Object) -> list[str]:
    lines: list[str] = []
    for name, value in sorted(parameters.items()):
        items = as_list(value) or [value]
        lines += [f"{name:<30} {_quoted_json(item) if isinstance(item, str) else _plain(item)}" for item in items]
    return lines


async def openai_models(machine: Machine, request: Request, reply: Reply) -> None:
    """The installed models as OpenAI's API lists them."""
    entries = [
        {
            "id": model.name.short,
            "object": "model",
            "created": int(model.modified.timestamp()),
            "owned_by": model.name.namespace,
        }
        for model in machine.store.listed()
    ]
    reply.json({"object": "list", "data": entries}, content_type=BARE_JSON)
