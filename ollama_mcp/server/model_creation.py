"""What a model is to be made of: another model, a Modelfile, files of this machine, or blobs that the host has.

Making a model of a recipe: what the host lacks is uploaded, then it is asked to create.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import BadRequest, InvalidArgument, OllamaMCPError, UnsupportedByVersion
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.formats.modelfile import (
    Instruction,
    Modelfile,
    create_request_fields,
    decode_modelfile,
    parse_modelfile,
    render_modelfile,
    starts_with_instruction,
)
from ollama_mcp.server.formatting import format_bytes
from ollama_mcp.server.transfers import TransferProgress, follow_stream

if TYPE_CHECKING:
    from ollama_mcp.access import Access
    from ollama_mcp.api import CreateRequest, OllamaClient
    from ollama_mcp.server.call import Call
    from ollama_mcp.work.model_files import ModelFile


MAX_MODELFILE_BYTES = 1_000_000

# Instructions that name files, and the field of the request that these go into.
_FILE_FIELDS = {"from": "files", "adapter": "adapters", "draft": "draft_files"}
# `show` gives the weights as a path of the host's own store, whose last part is their digest.
_BLOB_PATH = re.compile(r"(?:^|[/\\])blobs[/\\]sha256[-:]([0-9a-f]{64})$")
_PATH_SYNTAX = re.compile(r"[.~]?[/\\]|\.\.?[/\\]|~$|\.\.?$|file:|[A-Za-z]:[/\\]", re.IGNORECASE)
# Repositories of a hub may be called like a file.
_MODEL_FILE_NAME = re.compile(r"(?!(?:hf|huggingface)\.co/)[^:]*\.(gguf|safetensors|bin)", re.IGNORECASE)


@dataclass(slots=True)
class ModelDefinition:
    """What a model is to be made of.

    Args:
        base: The model that it is made from, or "".
        local: Proven files of this machine, by the field of the request.
        blobs: Digests of what the host has, by the field of the request and by file name.
        fields: The other fields of the request.
        notes: What the caller should know.
    """

    base: str = ""
    local: dict[str, list[ModelFile]] = field(default_factory=dict[str, "list[ModelFile]"])
    blobs: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])

    def override(self, fields: dict[str, Any]) -> None:
        """Let what a call says win over a Modelfile: licenses are added, parameters merged, others replaced."""
        merged = {
            "license": [*self.fields.get("license", []), *fields.pop("license", [])],
            "parameters": {**self.fields.get("parameters", {}), **fields.pop("parameters", {})},
        }
        self.fields |= {name: value for name, value in {**fields, **merged}.items() if value}

    @property
    def files(self) -> list[ModelFile]:
        """All files of this machine."""
        return [file for files in self.local.values() for file in files]

    @property
    def has_safetensors(self) -> bool:
        """Whether the host would have to convert safetensors."""
        return any(name.endswith(".safetensors") for name in self.names)

    @property
    def names(self) -> list[str]:
        """The names of all files, wherever they are."""
        return [file.name for file in self.files] + [name for blobs in self.blobs.values() for name in blobs]


async def read_definition(
    call: Call, *, base: str, modelfile: str, path: str, files: dict[str, str] | None
) -> ModelDefinition:
    """Work out what a model is to be made of; nothing is sent but questions.

    Args:
        call: The tool call.
        base: Name of a model.
        modelfile: Text of a Modelfile, or its path.
        path: Path of a GGUF file or of a folder with safetensors.
        files: File names and digests of blobs.

    Raises:
        InvalidArgument: Not exactly one of the four is given; or as `parse` and `model_files`.
        ModelNotFound: The base is not installed: it would be pulled without a word.
    """
    if sum(map(bool, (base, modelfile, path, files))) != 1:
        raise InvalidArgument(
            "Give exactly one of from, modelfile, path and files.",
            next_step="from takes a name from ollama_list_models.",
        )
    recipe = ModelDefinition(base, blobs={"files": files} if files else {})
    if path:
        recipe = await asyncio.to_thread(_from_path, path, call.access)
    elif modelfile:
        recipe = await asyncio.to_thread(_from_modelfile, modelfile, call.access)
    if recipe.base:
        call.check_registry(recipe.base, argument="from")
        await call.hosts.installed_model(recipe.base)
    await _check_host(call, recipe)
    return recipe


def _from_path(path: str, access: Access) -> ModelDefinition:
    from ollama_mcp.work.model_files import find_model_files

    files = find_model_files(path, access)
    if any(file.name == "adapter_config.json" for file in files):
        raise InvalidArgument(
            f"{quoted(path)} is an adapter, not a model.",
            next_step="Give a modelfile with FROM, its base model, and ADAPTER, this path.",
        )
    return ModelDefinition(local={"files": files})


def _from_modelfile(given: str, access: Access) -> ModelDefinition:
    if "\n" in given.strip() or starts_with_instruction(given):
        return _ModelfileReader(parse_modelfile(given), None, access).recipe()
    from ollama_mcp.access import Purpose

    with access.open_file(given, Purpose.UPLOAD) as file:
        source = f"Modelfile {quoted(os.path.basename(file.path), 60)}"
        if file.size > MAX_MODELFILE_BYTES:
            raise InvalidArgument(
                f"{source} is larger than {format_bytes(MAX_MODELFILE_BYTES)}.",
                next_step="Give a model's own file as path.",
            )
        data = file.read(MAX_MODELFILE_BYTES, setting="of Modelfiles")
    return _ModelfileReader(parse_modelfile(decode_modelfile(data), source=source), file.path, access).recipe()


class _ModelfileReader:
    """Turns a Modelfile into a recipe; `path` is its own, None where it was given as text."""

    def __init__(self, modelfile: Modelfile, path: str | None, access: Access) -> None:
        self._modelfile, self._path, self._access = modelfile, path, access
        self._recipe = ModelDefinition()

    def recipe(self) -> ModelDefinition:
        fields, dropped = create_request_fields(self._modelfile)
        self._recipe.fields = fields
        self._recipe.notes += [f"PARAMETER {name} is left out: Ollama no longer takes it." for name in dropped]
        for name in _FILE_FIELDS:
            for one in self._modelfile.all(name):
                self._take(one)
        has_files = self._recipe.local.get("files") or self._recipe.blobs.get("files")
        if self._recipe.base and has_files:
            raise self._modelfile.error(
                self._modelfile.all("from")[-1], "FROM names a model and a file, not one of them"
            )
        return self._recipe

    def _take(self, one: Instruction) -> None:
        """Follow an instruction that names a model or a file."""
        if blob := _BLOB_PATH.search(one.value):
            blobs = self._recipe.blobs.setdefault(_FILE_FIELDS[one.name], {})
            blobs[f"{one.name}-{len(blobs)}.gguf"] = f"sha256:{blob[1]}"
        elif (path := self._path_of(one)) is not None:
            self._add(one, path)
        elif one.name == "from":
            self._recipe.base = self._name_of(one)
        else:
            raise self._modelfile.error(one, f"{one.name.upper()} names no file that is there")

    def _path_of(self, one: Instruction) -> str | None:
        """The path that an instruction means; None where it is no path but a name."""
        spelled = _PATH_SYNTAX.match(one.value) is not None or _MODEL_FILE_NAME.fullmatch(one.value) is not None
        if os.path.isabs(one.value) or one.value.startswith(("~", "file:")):
            return one.value
        if self._path is None:
            if spelled or one.name != "from":
                raise self._modelfile.error(
                    one,
                    "a relative path, but a Modelfile given as text lies in no folder",
                    next_step="Write the whole path, or give the path of the Modelfile.",
                )
            return None
        path = os.path.join(os.path.dirname(self._path), one.value)
        return path if spelled or (".." not in one.value and os.path.exists(path)) else None

    def _add(self, one: Instruction, path: str) -> None:
        from ollama_mcp.work.model_files import find_model_files

        if self._path is not None and os.path.realpath(path) == self._path:
            raise self._modelfile.error(one, f"{one.name.upper()} leads back to this Modelfile")
        files = self._recipe.local.setdefault(_FILE_FIELDS[one.name], [])
        try:
            found = find_model_files(path, self._access)
        except OllamaMCPError as error:
            error.message = f"{self._modelfile.source}, line {one.line}: {error.message}"
            raise
        taken = {file.name for file in files}
        files += [replace(file, name=f"{len(files)}-{file.name}") if file.name in taken else file for file in found]

    def _name_of(self, one: Instruction) -> str:
        try:
            parse_name(one.value)
        except InvalidArgument:
            raise self._modelfile.error(
                one,
                "FROM is neither a model's name nor a file that is there",
                next_step="Names look like 'llama3.2:3b'; ollama_list_models shows the installed.",
            ) from None
        return one.value


async def _check_host(call: Call, recipe: ModelDefinition) -> None:
    """Refuse what the host could not make a model of.

    Raises:
        UnsupportedByVersion: It no longer takes safetensors.
        InvalidArgument: It lacks a blob.
    """
    from ollama_mcp.api.versions import SAFETENSORS_REMOVED

    client = call.client
    if recipe.has_safetensors:
        version = await client.server_version()
        if version.known and version.numbers >= SAFETENSORS_REMOVED:
            raise UnsupportedByVersion(
                f"Since v0.35.0 Ollama makes no models of safetensors any more; {client.name} is Ollama {version}.",
                next_step="Convert the folder to GGUF first (llama.cpp's convert_hf_to_gguf.py), then give its path.",
                host=client.base_url,
                endpoint="POST /api/create",
            )
    for blobs in recipe.blobs.values():
        for name, digest in blobs.items():
            if not await client.blob_exists(digest):
                raise InvalidArgument(
                    f"{client.name} ({client.base_url}) has no blob {digest[:19]}… for {name[:60]!r}.",
                    next_step="Give the path of the file itself, which is then uploaded.",
                )


# What a Modelfile for servers before v0.5.5 can say; the rest stays a field, for which the version is then refused.
_MODELFILE_FIELDS = ("template", "system", "parameters", "license", "messages")


async def create_model(call: Call, model: str, recipe: ModelDefinition) -> TransferProgress:
    """Upload what the host lacks and make the model.

    Raises:
        OllamaMCPError: As `upload` and `OllamaClient.create`.
    """
    transfer = TransferProgress()
    for attempt in (1, 2):
        digests = await _upload(call, recipe, transfer)
        request = await _request(call.client, model, recipe, digests)
        try:
            return await follow_stream(call.client.create(request), call.progress, f"creating {model}", transfer)
        except BadRequest as error:
            # Ollama prunes blobs that no model has; one may go between the question for it and its use.
            if attempt == 2 or not recipe.files or "<model store>" not in error.detail:
                raise
    raise AssertionError  # pragma: no cover - the loop returns or raises


async def upload_file(call: Call, path: str, expected: str = "") -> str:
    """Upload one file of a model; returns its digest.

    Args:
        call: The tool call.
        path: Its path.
        expected: The digest that it must have, or "".

    Raises:
        InvalidArgument: It has another digest; nothing was sent.
        OllamaMCPError: As `prove` and `upload`.
    """
    from ollama_mcp.work.model_files import verify_model_file

    file = await asyncio.to_thread(verify_model_file, path, os.path.basename(path), call.access)
    digests = await _upload(
        call, ModelDefinition(local={"files": [file]}), TransferProgress(), expected=expected.lower()
    )
    return digests["files"][file.name]


async def _upload(
    call: Call, recipe: ModelDefinition, transfer: TransferProgress, *, expected: str = ""
) -> dict[str, dict[str, str]]:
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
            lambda: f"{phase} {file.name[:80]}{of}: {format_bytes(done)} of {format_bytes(file.size)}",
            total=transfer.total,
        )

    async with call.progress.phase(f"reading {files[0].name[:80]}"):
        for name, local in recipe.local.items():
            sent = await upload(local, access=call.access, client=call.client, report=report, expected=expected)
            digests[name] = {**digests.get(name, {}), **sent}
    return digests


async def _request(
    client: OllamaClient, model: str, recipe: ModelDefinition, digests: dict[str, dict[str, str]]
) -> CreateRequest:
    from ollama_mcp.api import ChatMessage as Turn
    from ollama_mcp.api import CreateRequest
    from ollama_mcp.api.versions import Feature

    fields = dict(recipe.fields)
    if not (await client.server_version()).supports(Feature.CREATE) and not recipe.has_safetensors:
        text = _as_modelfile(recipe, digests)
        rest = {name: value for name, value in fields.items() if name not in _MODELFILE_FIELDS}
        return CreateRequest(model=model, modelfile=text, **rest)
    if messages := fields.pop("messages", None):
        fields["messages"] = [Turn(**message) for message in messages]
    return CreateRequest(model=model, from_=recipe.base or None, **digests, **fields)


def _as_modelfile(recipe: ModelDefinition, digests: dict[str, dict[str, str]]) -> str:
    """The Modelfile that servers before v0.5.5 take, with uploaded files by their digests."""
    fields = recipe.fields
    bases = [recipe.base] if recipe.base else [f"@{digest}" for digest in digests.get("files", {}).values()]
    lines = [Instruction("from", base) for base in bases]
    lines += [Instruction("adapter", f"@{digest}") for digest in digests.get("adapters", {}).values()]
    lines += [Instruction(name, fields[name]) for name in ("template", "system") if fields.get(name)]
    for name, value in fields.get("parameters", {}).items():
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        lines += [Instruction("parameter", _parameter_text(item), name) for item in items]
    lines += [Instruction("license", text) for text in fields.get("license", [])]
    lines += [Instruction("message", turn["content"], turn["role"]) for turn in fields.get("messages", [])]
    try:
        return render_modelfile(lines)
    except ValueError:
        raise InvalidArgument(
            "A text has a line that ends with quotes, which a Modelfile for servers before v0.5.5 cannot hold.",
            next_step="Change that line, or update Ollama.",
        ) from None


def _parameter_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
