"""Models out of uploaded files: GGUF as it is, safetensors converted, and what Ollama finds in either."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.gguf import MAGIC, Header, read_header
from ollama_mcp.formats.names import ModelName
from ollama_mcp.simulator.encoding import Object, as_list, as_object
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.store import BLOB_FOLDER, Layer, Model, digest_of

_SAFETENSORS = {
    "LlamaForCausalLM": "llama",
    "BertModel": "bert",
    "Qwen3ForCausalLM": "qwen3",
    "Gemma3ForCausalLM": "gemma3",
}
# Ollama replaces a chat template that differs from one that it knows by less than this many letters.
_ALIKE = 100
_CHATML_JINJA = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'"
    "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def check_file(machine: Machine, path: str, digest: Any) -> None:
    """Check one entry of `files`.

    Raises:
        Failure: 400, the path leaves the folder, or the digest is none.
    """
    if path.startswith("/") or ".." in path.split("/"):
        raise bad(machine, "file path must be relative")
    if not isinstance(digest, str) or not re.fullmatch(r"sha256[:-][0-9a-fA-F]{64}", digest):
        raise bad(machine, "invalid digest format")


async def imported(machine: Machine, name: ModelName, files: Object) -> AsyncGenerator[Object | Model]:
    """The lines of an import, and last the model.

    Raises:
        Failure: A blob is missing, or no model that Ollama knows.
    """
    # One such file makes the whole upload a folder of that format.
    if any(path.endswith(".safetensors") for path in files):
        yield {"status": "converting model"}
        header, size = _converted(machine, files), sum(machine.store.blobs.get(digest, 0) for digest in files.values())
        yield Model(name, header, Layer("model", digest_of(json.dumps(files).encode()), size))
        return
    path, digest = next(iter(files.items()))
    beginning = machine.store.beginnings.get(digest, b"")
    if not path.endswith(".gguf") and digest in machine.store.blobs and not beginning.startswith(MAGIC):
        raise bad(machine, "unknown type")
    yield {"status": "parsing GGUF"}
    weights, header = Layer("model", digest, machine.store.blobs.get(digest, 0)), _header(machine, digest)
    if machine.generation.native_templates:
        # Since v0.30 the file goes through llama-quantize, so the layer is not the blob.
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


def like_chatml(template: str) -> bool:
    """Whether Ollama would take this chat template for its own one of that name, by the letters that differ."""
    if not template or abs(len(template) - len(_CHATML_JINJA)) >= _ALIKE:
        return False
    row = list(range(len(_CHATML_JINJA) + 1))
    for place, letter in enumerate(template, 1):
        above, row = row, [place]
        for column, other in enumerate(_CHATML_JINJA):
            row.append(min(above[column] + (letter != other), above[column + 1] + 1, row[column] + 1))
    return row[-1] < _ALIKE


def bad(machine: Machine, text: str) -> Failure:
    """400; servers before v0.12.6 wrote the status into the line."""
    failure = Failure(400, text)
    if not machine.generation.status_before_stream:
        failure.body["status"] = 400
    return failure
