"""Making a model of a recipe: what the host lacks is uploaded, then it is asked to create."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.errors import BadRequest, InvalidArgument
from ollama_mcp.formats.modelfile import Instruction, render
from ollama_mcp.server.recipes import Recipe
from ollama_mcp.server.text import size
from ollama_mcp.server.transfers import Transfer, follow

if TYPE_CHECKING:
    from ollama_mcp.api import CreateRequest, OllamaClient
    from ollama_mcp.server.call import Call
    from ollama_mcp.work.model_files import ModelFile

# What a Modelfile for servers before v0.5.5 can say; the rest stays a field, for which the version is then refused.
_IN_MODELFILE = ("template", "system", "parameters", "license", "messages")


async def create(call: Call, model: str, recipe: Recipe) -> Transfer:
    """Upload what the host lacks and make the model.

    Raises:
        OllamaMCPError: As `upload` and `OllamaClient.create`.
    """
    transfer = Transfer()
    for attempt in (1, 2):
        digests = await _upload(call, recipe, transfer)
        request = await _request(call.client, model, recipe, digests)
        try:
            return await follow(call.client.create(request), call.progress, f"creating {model}", transfer)
        except BadRequest as error:
            # Ollama prunes blobs that no model has; one may go between the question for it and its use.
            if attempt == 2 or not recipe.files or "<model store>" not in error.detail:
                raise
    raise AssertionError  # pragma: no cover - the loop returns or raises


async def send_file(call: Call, path: str, expected: str = "") -> str:
    """Upload one file of a model; returns its digest.

    Args:
        call: The tool call.
        path: Its path.
        expected: The digest that it must have, or "".

    Raises:
        InvalidArgument: It has another digest; nothing was sent.
        OllamaMCPError: As `prove` and `upload`.
    """
    from ollama_mcp.work.model_files import prove

    file = await asyncio.to_thread(prove, path, os.path.basename(path), call.access)
    digests = await _upload(call, Recipe(local={"files": [file]}), Transfer(), expected=expected.lower())
    return digests["files"][file.name]


async def _upload(call: Call, recipe: Recipe, transfer: Transfer, *, expected: str = "") -> dict[str, dict[str, str]]:
    """The digests of all files, by field and name, when the host has them."""
    digests = {name: dict(blobs) for name, blobs in recipe.blobs.items()}
    files = recipe.files
    if not files:
        return digests
    from ollama_mcp.work.uploads import upload

    for file in files:
        for phase in ("reading", "uploading"):
            transfer.advance(f"{phase} {file.path}", 0, file.size)

    async def report(file: ModelFile, phase: str, done: int) -> None:
        transfer.advance(f"{phase} {file.path}", done, file.size)
        of = f" ({len(files)} files)" if len(files) > 1 else ""
        await call.progress.update(
            transfer.completed,
            lambda: f"{phase} {file.name[:80]}{of}: {size(done)} of {size(file.size)}",
            total=transfer.total,
        )

    async with call.progress.phase(f"reading {files[0].name[:80]}"):
        for name, local in recipe.local.items():
            sent = await upload(local, access=call.access, client=call.client, report=report, expected=expected)
            digests[name] = {**digests.get(name, {}), **sent}
    return digests


async def _request(
    client: OllamaClient, model: str, recipe: Recipe, digests: dict[str, dict[str, str]]
) -> CreateRequest:
    from ollama_mcp.api import CreateRequest
    from ollama_mcp.api import Message as Turn
    from ollama_mcp.api.versions import Feature

    fields = dict(recipe.fields)
    if not (await client.server()).supports(Feature.CREATE) and not recipe.has_safetensors:
        text = _as_modelfile(recipe, digests)
        rest = {name: value for name, value in fields.items() if name not in _IN_MODELFILE}
        return CreateRequest(model=model, modelfile=text, **rest)
    if messages := fields.pop("messages", None):
        fields["messages"] = [Turn(**message) for message in messages]
    return CreateRequest(model=model, from_=recipe.base or None, **digests, **fields)


def _as_modelfile(recipe: Recipe, digests: dict[str, dict[str, str]]) -> str:
    """The Modelfile that servers before v0.5.5 take, with uploaded files by their digests."""
    fields = recipe.fields
    bases = [recipe.base] if recipe.base else [f"@{digest}" for digest in digests.get("files", {}).values()]
    lines = [Instruction("from", base) for base in bases]
    lines += [Instruction("adapter", f"@{digest}") for digest in digests.get("adapters", {}).values()]
    lines += [Instruction(name, fields[name]) for name in ("template", "system") if fields.get(name)]
    for name, value in fields.get("parameters", {}).items():
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        lines += [Instruction("parameter", _plain(item), name) for item in items]
    lines += [Instruction("license", text) for text in fields.get("license", [])]
    lines += [Instruction("message", turn["content"], turn["role"]) for turn in fields.get("messages", [])]
    try:
        return render(lines)
    except ValueError:
        raise InvalidArgument(
            "A text has a line that ends with quotes, which a Modelfile for servers before v0.5.5 cannot hold.",
            next_step="Change that line, or update Ollama.",
        ) from None


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
