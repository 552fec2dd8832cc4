"""POST /api/create: a model from another model, or from uploaded GGUF or safetensors files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.gguf import MAGIC, GGUFHeader, read_gguf_header
from ollama_mcp.formats.model_names import ModelName
from ollama_mcp.simulator import go_json
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.go_json import Object, as_list, as_object
from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.library import CHATML
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.response import ResponseWriter
from ollama_mcp.simulator.routes.transfers import pull_lines, send_progress
from ollama_mcp.simulator.store import BLOB_FOLDER, Layer, StoredModel, sha256_digest, template_syntax_error

_REQUEST = go_json.struct(
    "CreateRequest",
    dict.fromkeys(("model", "name", "from", "template", "system", "quantize", "quantization"), go_json.string)
    | dict.fromkeys(("files", "adapters", "parameters", "info"), go_json.mapping)
    | {
        "license": go_json.anything,
        "messages": go_json.list_of(go_json.mapping, "[]api.Message"),
        "capabilities": go_json.list_of(go_json.string, "[]string"),
        "stream": go_json.boolean,
    },
)
# Quantization types and their general.file_type in GGUF.
_QUANTIZATIONS = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_K_S": 14, "Q4_K_M": 15}
_QUANTIZABLE = ("F32", "F16", "BF16")
_KNOWN_CAPABILITIES = ("completion", "tools", "insert", "vision", "embedding", "thinking", "audio", "decision")
# Architectures in config.json, and their names in GGUF.
_SAFETENSORS_ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "BertModel": "bert",
    "Qwen3ForCausalLM": "qwen3",
    "Gemma3ForCausalLM": "gemma3",
}
# Ollama replaces a chat template by a known one if their edit distance is smaller than this.
_MAX_EDIT_DISTANCE = 100
_CHATML_JINJA = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'"
    "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


async def create(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Create a model."""
    body = _REQUEST(go_json.parse(request.body), "")
    name = machine.checked_name(body.get("model") or body.get("name") or "")
    await send_progress(machine, response, _create_lines(machine, name, body), stream=body.get("stream", True))


async def _create_lines(machine: Machine, name: ModelName, body: Object) -> AsyncGenerator[Object]:
    """Create a model, yielding the lines of the stream."""
    files, origin = as_object(body.get("files")), body.get("from", "")
    # `modelfile`, which servers before v0.5.5 took, is an unknown field and ignored.
    if not files and not origin:
        raise _bad_request(machine, "neither 'from' or 'files' was specified")
    for path, digest in files.items():
        _check_file(machine, path, digest)
    base = StoredModel(name, GGUFHeader({}), Layer.from_bytes("model", b""))
    async for line in _pull_base(machine, origin) if origin else _import_files(machine, name, files):
        if isinstance(line, StoredModel):
            base = line
        else:
            yield line
    if base.family:
        lines, model = _derive(machine, base, name, body, from_files=not origin)
        for status in lines:
            yield {"status": status}
    else:
        # Servers before v0.7.0 continue after a failed pull of the base, and write a model without weights.
        model = base
    machine.store.add(model)
    yield {"status": "writing manifest"}
    yield {"status": "success"}


async def _pull_base(machine: Machine, origin: str) -> AsyncGenerator[Object | StoredModel]:
    """The lines of the pull of a base model that is not installed, and last the model."""
    model = machine.store.find(origin)
    if model is None:
        try:
            async for line in pull_lines(machine, machine.checked_name(origin)):
                yield line
        except ErrorResponse as error:
            if machine.generation.since(0, 7, 0):
                raise
            yield error.body
            return
        model = machine.installed_model(origin)
    yield model


def _derive(
    machine: Machine, base: StoredModel, name: ModelName, body: Object, *, from_files: bool
) -> tuple[list[str], StoredModel]:
    """The lines about the layers of the new model, and the model."""
    lines: list[str] = []
    model = replace(base, name=name, modified=datetime.now(UTC), parent=base.parent if from_files else base.name.short)
    if machine.generation.has_native_templates and from_files:
        model = replace(model, parent="")
    if kind := body.get("quantize") or body.get("quantization"):
        model = _quantize(machine, model, str(kind).upper())
        lines.append("verifying conversion")
        if not machine.generation.has_native_templates:
            lines[-1:] = [f"quantizing {base.quantization_level} model to {model.quantization_level}"]
    lines.append(_layer_line(machine, model.weights))
    template = body.get("template", "")
    if template:
        _check_template(machine, template)
        model = replace(model, template=template)
    elif from_files and _resembles_chatml(model.header.chat_template):
        stops = {"stop": ["<|im_start|>", "<|im_end|>"]}
        model = replace(model, template=CHATML, parameters=stops)
        lines.append("using autodetected template chatml")
    model = _with_fields(machine, model, body)
    # A detected template is reported by name and not as a layer.
    unreported = {Layer.from_bytes("template", CHATML.encode()).digest} if from_files and not template else set[str]()
    lines += [_layer_line(machine, layer) for layer in model.layers[1:] if layer.digest not in unreported]
    return lines, model


def _with_fields(machine: Machine, model: StoredModel, body: Object) -> StoredModel:
    # Stored without validation: an invalid value fails when the model is used.
    parameters = {**model.parameters, **as_object(body.get("parameters"))}
    license_field = body.get("license")
    licenses = [license_field] if isinstance(license_field, str) else as_list(license_field)
    texts = [text for text in licenses if isinstance(text, str)]
    # Messages replace those of the base model; licences are appended.
    messages = tuple(as_object(message) for message in as_list(body.get("messages"))) or model.messages
    declared = model.declared_capabilities
    if machine.generation.has_decisions:
        for capability in as_list(body.get("capabilities")):
            if capability not in _KNOWN_CAPABILITIES:
                raise _bad_request(machine, f'unknown capability "{capability}"')
            declared = tuple(dict.fromkeys((*declared, capability)))
    return replace(
        model,
        # An empty system prompt keeps that of the base model.
        system=body.get("system") or model.system,
        parameters=parameters,
        licenses=(*model.licenses, *texts),
        messages=messages,
        declared_capabilities=declared,
    )


def _quantize(machine: Machine, model: StoredModel, kind: str) -> StoredModel:
    # Q4_K is an alias of Q4_K_M.
    kind = "Q4_K_M" if kind == "Q4_K" else kind
    if kind not in _QUANTIZATIONS:
        if not machine.generation.since(0, 7, 0):
            raise ErrorResponse(500, f"unknown fileType: {kind}")
        supported = "F32, F16, Q4_K_S, Q4_K_M, Q8_0"
        raise ErrorResponse(500, f"unsupported quantization type {kind} - supported types are {supported}")
    if model.quantization_level not in _QUANTIZABLE:
        allowed = "F16, BF16 and F32" if machine.generation.since(0, 18, 0) else "F16 and F32"
        raise ErrorResponse(500, f"quantization is only supported for {allowed} models")
    metadata = {**model.header.metadata, "general.file_type": _QUANTIZATIONS[kind]}
    weights = Layer("model", sha256_digest(f"{model.weights.digest}{kind}".encode()), model.weights.size // 2)
    return replace(model, header=GGUFHeader(metadata, model.header.tensors), weights=weights)


def _layer_line(machine: Machine, layer: Layer) -> str:
    known = layer.digest in machine.store.blobs
    return f"{'using existing' if known else 'creating new'} layer {layer.digest}"


def _check_template(machine: Machine, template: str) -> None:
    if error := template_syntax_error(template):
        raise _bad_request(machine, f"template error: {error}")


def _check_file(machine: Machine, path: str, digest: Any) -> None:
    """Check one entry of `files`.

    Raises:
        ErrorResponse: 400, the path leaves the folder, or the digest is invalid.
    """
    if path.startswith("/") or ".." in path.split("/"):
        raise _bad_request(machine, "file path must be relative")
    if not isinstance(digest, str) or not re.fullmatch(r"sha256[:-][0-9a-fA-F]{64}", digest):
        raise _bad_request(machine, "invalid digest format")


async def _import_files(machine: Machine, name: ModelName, files: Object) -> AsyncGenerator[Object | StoredModel]:
    """The lines of an import, and last the model.

    Raises:
        ErrorResponse: A blob is missing, or is not a supported model.
    """
    # One safetensors file makes the upload a safetensors folder.
    if any(path.endswith(".safetensors") for path in files):
        yield {"status": "converting model"}
        header = _convert_safetensors(machine, files)
        size = sum(machine.store.blobs.get(digest, 0) for digest in files.values())
        yield StoredModel(name, header, Layer("model", sha256_digest(json.dumps(files).encode()), size))
        return
    path, digest = next(iter(files.items()))
    head = machine.store.blob_heads.get(digest, b"")
    # The type comes from the name, otherwise from the content.
    if not path.endswith(".gguf") and digest in machine.store.blobs and not head.startswith(MAGIC):
        raise _bad_request(machine, "unknown type")
    yield {"status": "parsing GGUF"}
    weights, header = Layer("model", digest, machine.store.blobs.get(digest, 0)), _read_header(machine, digest)
    if machine.generation.has_native_templates:
        # Since v0.30 llama-quantize rewrites the file, so the layer differs from the blob.
        yield {"status": "verifying conversion"}
        weights = Layer("model", sha256_digest(digest.encode()), weights.size + 64)
        header = GGUFHeader(
            {"general.file_type": 1024, **header.metadata, "general.quantization_version": 2}, header.tensors
        )
    parent = "" if machine.generation.has_native_templates else f"{BLOB_FOLDER}{digest.removeprefix('sha256:')}"
    yield StoredModel(name, header, weights, parent=parent)


def _read_header(machine: Machine, digest: str) -> GGUFHeader:
    if digest not in machine.store.blobs:
        raise ErrorResponse(500, f"open {BLOB_FOLDER}{digest.removeprefix('sha256:')}: no such file or directory")
    head = machine.store.blob_heads.get(digest, b"")
    try:
        return read_gguf_header(io.BytesIO(head), machine.store.blobs[digest], longest_array=1 << 20)
    except InvalidArgument:
        raise ErrorResponse(500, "supplied file was not in GGUF format") from None


def _convert_safetensors(machine: Machine, files: Object) -> GGUFHeader:
    config = machine.store.blob_heads.get(str(files.get("config.json", "")), b"{}")
    try:
        config_fields = as_object(json.loads(config))
    except ValueError:
        config_fields = {}
    architecture = str(next(iter(as_list(config_fields.get("architectures"))), ""))
    if architecture not in _SAFETENSORS_ARCHITECTURES:
        raise ErrorResponse(500, f'unsupported architecture "{architecture}"')
    family = _SAFETENSORS_ARCHITECTURES[architecture]
    keys = {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
    }
    metadata = {f"{family}.{key}": config_fields[field] for key, field in keys.items() if field in config_fields}
    if family == "bert":
        metadata[f"{family}.pooling_type"] = _pooling_type(machine, files)
    return GGUFHeader({"general.architecture": family, "general.file_type": 1, **metadata})


def _pooling_type(machine: Machine, files: Object) -> int:
    """The pooling of an embedding model in GGUF's numbers, from the list of its layers.

    Raises:
        ErrorResponse: 500, the list or the settings of the pooling layer are missing, or not of their format.
    """
    layers = _read_json(machine, files, "modules.json")
    if not isinstance(layers, list):
        raise ErrorResponse(500, "json: cannot unmarshal object into Go value of type []struct")
    for layer in map(as_object, as_list(layers)):
        if layer.get("type") == "sentence_transformers.models.Pooling":
            settings = as_object(_read_json(machine, files, f"{layer.get('path', '')}/config.json"))
            return 1 if settings.get("pooling_mode_mean_tokens") else 2 * bool(settings.get("pooling_mode_cls_token"))
    return 0


def _read_json(machine: Machine, files: Object, path: str) -> Any:
    if path not in files:
        raise ErrorResponse(500, f"open {path}: no such file or directory")
    try:
        return json.loads(machine.store.blob_heads.get(str(files[path]), b""))
    except ValueError:
        raise ErrorResponse(500, "unexpected end of JSON input") from None


@lru_cache(maxsize=16)
def _resembles_chatml(template: str) -> bool:
    """Whether Ollama recognizes this chat template as ChatML, by the edit distance to its own."""
    if not template or abs(len(template) - len(_CHATML_JINJA)) >= _MAX_EDIT_DISTANCE:
        return False
    row = list(range(len(_CHATML_JINJA) + 1))
    # Levenshtein distance, row by row.
    for index, letter in enumerate(template, 1):
        previous, row = row, [index]
        for column, other in enumerate(_CHATML_JINJA):
            row.append(min(previous[column] + (letter != other), previous[column + 1] + 1, row[column] + 1))
    return row[-1] < _MAX_EDIT_DISTANCE


def _bad_request(machine: Machine, text: str) -> ErrorResponse:
    """400; servers before v0.12.6 also wrote the status into the line."""
    error = ErrorResponse(400, text)
    if not machine.generation.status_before_stream:
        error.body["status"] = 400
    return error
