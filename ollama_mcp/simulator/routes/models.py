"""GET /api/tags, /api/ps and /v1/models, POST /api/show and /api/copy, DELETE /api/delete."""

from __future__ import annotations

import json
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.model_names import ModelName, parse_name
from ollama_mcp.simulator import go_json
from ollama_mcp.simulator.errors import ErrorResponse, model_not_found
from ollama_mcp.simulator.go_json import Object, as_list, timestamp
from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.response import JSON_WITHOUT_CHARSET, ResponseWriter
from ollama_mcp.simulator.server_versions import Generation
from ollama_mcp.simulator.store import (
    BLOB_FOLDER,
    DEFAULT_TEMPLATE,
    StoredModel,
    capabilities,
    gguf_chat_template,
    go_template,
)

_NAMED = go_json.struct("DeleteRequest", {"model": go_json.string, "name": go_json.string})
_SHOW = go_json.struct(
    "ShowRequest",
    {"model": go_json.string, "name": go_json.string, "verbose": go_json.boolean, "system": go_json.string},
)
_COPY = go_json.struct("CopyRequest", {"source": go_json.string, "destination": go_json.string})


async def tags(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """List the installed models."""
    response.json({"models": [_list_entry(model, machine.generation) for model in machine.store.listed()]})


async def running(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """List the models in memory."""
    entries: list[Object] = []
    for runner in machine.scheduler.running():
        model = runner.model
        # Go adds its longest duration to the current time; the real server shows that year.
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
    response.json({"models": entries})


async def show(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Show a model."""
    body = _SHOW(go_json.parse(request.body), "")
    requested = body.get("model") or body.get("name") or ""
    if not requested:
        raise ErrorResponse(400, "model is required")
    model = machine.store.find(requested)
    if model is None and machine.generation.has_strict_names:
        if not machine.checked_name(requested).is_cloud:
            # Here the error has the full name with its tag.
            raise model_not_found(machine.checked_name(requested).short)
        model, _ = machine.resolve_model(requested, request.path)
    if model is None:
        raise model_not_found(requested)
    response.json(_show_fields(model, machine.generation, verbose=body.get("verbose", False)))


async def copy(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Copy a model to a second name."""
    body = _COPY(go_json.parse(request.body), "")
    names = {part: _name_or_none(body.get(part, "")) for part in ("source", "destination")}
    # Both names are checked before the source is looked up.
    for part, name in names.items():
        if name is None:
            raise ErrorResponse(400, f'{part} "{body.get(part, "")}" is invalid')
    model, destination = machine.store.find(body["source"]), names["destination"]
    if model is None or destination is None:
        raise ErrorResponse(404, f'model "{body["source"]}" not found')
    # Copying to the same name is a 200 without effect.
    if destination.key != model.name.key:
        machine.store.add(model.renamed(destination))
    response.send(200)


async def delete(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Delete a model; in memory it stays until it expires."""
    body = _NAMED(go_json.parse(request.body), "")
    requested = body.get("model") or body.get("name") or ""
    if _name_or_none(requested) is None:
        if not requested and machine.generation.has_strict_names:
            raise ErrorResponse(400, "model is required")
        raise ErrorResponse(400, f'name "{requested}" is invalid')
    model = machine.store.find(requested)
    if model is None:
        raise model_not_found(requested)
    machine.store.remove(model)
    response.send(200)


def _name_or_none(text: str) -> ModelName | None:
    try:
        return parse_name(text)
    except InvalidArgument:
        return None


def _details(model: StoredModel) -> Object:
    return {
        "parent_model": model.parent,
        "format": "gguf" if model.family else "",
        "family": model.family,
        "families": [model.family] if model.family else None,
        "parameter_size": model.parameter_size if model.family else "",
        "quantization_level": model.quantization_level if model.family else "",
    }


def _list_entry(model: StoredModel, generation: Generation) -> Object:
    details, entry = _details(model), Object()
    if generation.has_native_templates:
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


def _show_fields(model: StoredModel, generation: Generation, *, verbose: bool) -> Object:
    """The response of show, with the fields of the generation."""
    fields: Object = {}
    if model.licenses:
        fields["license"] = "\n".join(model.licenses)
    fields["modelfile"] = _modelfile(model)
    if model.parameters:
        fields["parameters"] = "\n".join(_parameter_lines(model.parameters))
    # llama-server uses this template, so show reports it instead of the default.
    native = gguf_chat_template(model) if generation.has_native_templates and not go_template(model) else ""
    fields["template"] = native or model.template or DEFAULT_TEMPLATE
    if model.system:
        fields["system"] = model.system
    fields["details"] = _details(model)
    if model.messages:
        fields["messages"] = list(model.messages)
    fields["model_info"] = _model_info(model, generation, verbose=verbose)
    # Returned even if `verbose` is false.
    if generation.since(0, 6, 1):
        fields["tensors"] = [
            {"name": tensor.name, "type": tensor.type, "shape": list(tensor.shape)} for tensor in model.header.tensors
        ]
    if generation.has_capabilities:
        fields["capabilities"] = capabilities(model, generation)
    if generation.lists_think_values and model.think_levels:
        default = True if True in model.think_levels else "medium"
        fields["thinking"] = {"values": list(model.think_levels), "default": default}
    if generation.has_template_source:
        fields["template_source"] = "gguf_chat_template" if native else "go_template" if go_template(model) else "none"
    fields["modified_at"] = timestamp(model.modified)
    return fields


def _model_info(model: StoredModel, generation: Generation, *, verbose: bool) -> Object:
    # Keys that show never returns.
    hidden = ("general.name", "tokenizer.chat_template")
    info = {key: value for key, value in sorted(model.header.metadata.items()) if key not in hidden}
    info["general.parameter_count"] = model.header.parameter_count
    if not verbose and generation.since(0, 6, 1):
        # Long arrays such as the tokens; scalars are kept.
        info = {key: None if isinstance(value, list) else value for key, value in info.items()}
    return info


def _modelfile(model: StoredModel) -> str:
    """The model as a Modelfile, with the path of its weights like the real server."""
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {model.name.short}",
        "",
        # The real server discloses its blob path here too.
        f"FROM {BLOB_FOLDER}{model.weights.digest.removeprefix('sha256:')}",
        f"TEMPLATE {_quoted(model.template or DEFAULT_TEMPLATE)}",
    ]
    if model.system:
        lines.append(f"SYSTEM {_quoted(model.system)}")
    # A list, such as the stop strings, is one line for each item.
    for name, value in sorted(model.parameters.items()):
        lines += [f"PARAMETER {name} {_plain_value(item)}" for item in (as_list(value) or [value])]
    lines += [f"LICENSE {_quoted(text)}" for text in model.licenses]
    lines += [f"MESSAGE {message['role']} {_quoted(str(message['content']))}" for message in model.messages]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    if '"' in text:
        return f'"""{text}"""'
    return f'"{text}"' if "\n" in text or text != text.strip() else text


def _quoted_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain_value(value: Any) -> str:
    # Go prints booleans in lower case.
    return str(value) if not isinstance(value, bool) else str(value).lower()


def _parameter_lines(parameters: Object) -> list[str]:
    lines: list[str] = []
    for name, value in sorted(parameters.items()):
        items = as_list(value) or [value]
        lines += [f"{name:<30} {_quoted_json(item) if isinstance(item, str) else _plain_value(item)}" for item in items]
    return lines


async def openai_models(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """List the installed models in the format of OpenAI's API."""
    entries = [
        {
            "id": model.name.short,
            "object": "model",
            "created": int(model.modified.timestamp()),
            "owned_by": model.name.namespace,
        }
        for model in machine.store.listed()
    ]
    response.json({"object": "list", "data": entries}, content_type=JSON_WITHOUT_CHARSET)
