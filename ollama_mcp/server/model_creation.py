"""Creating a model: read its definition, upload the files that the host lacks, send the request.

A definition comes from an installed model, a Modelfile, files of this machine, or blobs on the host.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import BadRequest, InvalidArgument, OllamaMCPError, UnsupportedByVersion
from ollama_mcp.formats.escaping import quote
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
    from ollama_mcp.server.call import Call, Overwritable
    from ollama_mcp.work.weight_files import ModelFile

MAX_MODELFILE_BYTES = 1_000_000

# Instructions that name files, and the request field of their digests.
_FILE_FIELDS = {"from": "files", "adapter": "adapters", "draft": "draft_files"}
# The Modelfile of `show` names the weights by their path in the host's store, which ends in their digest.
_BLOB_PATH = re.compile(r"(?:^|[/\\])blobs[/\\]sha256[-:]([0-9a-f]{64})$")
_PATH_SYNTAX = re.compile(r"[.~]?[/\\]|\.\.?[/\\]|~$|\.\.?$|file:|[A-Za-z]:[/\\]", re.IGNORECASE)
# Repositories on Hugging Face may have the name of a file, so those are not paths.
_MODEL_FILE_NAME = re.compile(r"(?!(?:hf|huggingface)\.co/)[^:]*\.(gguf|safetensors|bin)", re.IGNORECASE)
# What a Modelfile for servers before v0.5.5 can express. Other fields stay fields, which those servers then refuse.
_MODELFILE_FIELDS = ("template", "system", "parameters", "license", "messages")


@dataclass(slots=True)
class ModelDefinition:
    """What a model is created from.

    Args:
        base: Name of the model that it is based on, or "".
        base_digest: The digest of that model.
        local: Verified files of this machine, by request field.
        blobs: Digests of blobs on the host, by request field and file name.
        fields: The other request fields.
        notes: Notes for the caller.
    """

    base: str = ""
    local: dict[str, list[ModelFile]] = field(default_factory=dict[str, "list[ModelFile]"])
    blobs: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])
    base_digest: str = ""

    def fingerprint(self) -> str:
        """Stands for all that decides what the model will be, so that a yes to it covers nothing else."""
        local = {name: [(file.path, file.state) for file in files] for name, files in self.local.items()}
        given = [parse_name(self.base).key if self.base else "", self.base_digest, local, self.blobs, self.fields]
        return hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()

    def override(self, fields: dict[str, Any]) -> None:
        """Apply arguments of a call over a Modelfile: licenses are added, parameters merged, other fields replaced."""
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
    def summary(self) -> str:
        """What the model would be, in words that a user can judge: its source, and how its system prompt begins."""
        names = [self.base] if self.base else self.names
        more = f" and {len(names) - 1} more files" if len(names) > 1 else ""
        source = f"a model made from {quote(names[0], 80)}{more}" if names else "a new model"
        system = self.fields.get("system")
        return f"{source} with the system prompt {quote(str(system), 120)}" if system else source

    @property
    def has_safetensors(self) -> bool:
        """Whether the host would have to convert safetensors."""
        return any(name.endswith(".safetensors") for name in self.names)

    @property
    def names(self) -> list[str]:
        """The names of all files, local and on the host."""
        return [file.name for file in self.files] + [name for blobs in self.blobs.values() for name in blobs]


async def read_definition(
    call: Call, *, base: str, modelfile: str, path: str, files: dict[str, str] | None
) -> ModelDefinition:
    """Read what a model is to be created from. Nothing is changed on the host.

    Args:
        call: The tool call.
        base: Name of an installed model.
        modelfile: Text of a Modelfile, or its path.
        path: Path of a GGUF file or of a folder of safetensors.
        files: Digests of blobs on the host, by file name.

    Raises:
        InvalidArgument: Not exactly one of the four is given, or as `parse_modelfile` and `find_model_files`.
        ModelNotFound: The base is not installed. Ollama would silently pull it.
    """
    if sum(map(bool, (base, modelfile, path, files))) != 1:
        raise InvalidArgument(
            "Provide exactly one of from, modelfile, path and files.",
            next_step="from takes a name from ollama_list_models.",
        )
    definition = ModelDefinition(base, blobs={"files": files} if files else {})
    if path:
        definition = await asyncio.to_thread(_from_path, path, call.access)
    elif modelfile:
        definition = await asyncio.to_thread(_from_modelfile, modelfile, call.access)
    if definition.base:
        call.check_registry(definition.base, argument="from")
        definition.base_digest = (await call.hosts.installed_model(definition.base)).digest
    await _check_host(call, definition)
    return definition


def _from_path(path: str, access: Access) -> ModelDefinition:
    from ollama_mcp.work.weight_files import find_model_files

    files = find_model_files(path, access)
    if any(file.name == "adapter_config.json" for file in files):
        raise InvalidArgument(
            f"{quoted(path)} is an adapter, not a model.",
            next_step="Provide a modelfile: FROM with its base model, and ADAPTER with this path.",
        )
    return ModelDefinition(local={"files": files})


def _from_modelfile(given: str, access: Access) -> ModelDefinition:
    if "\n" in given.strip() or starts_with_instruction(given):
        return _ModelfileReader(parse_modelfile(given), None, access).read()
    from ollama_mcp.access import Purpose

    with access.open_file(given, Purpose.UPLOAD) as file:
        source = f"Modelfile {quoted(os.path.basename(file.path), 60)}"
        if file.size > MAX_MODELFILE_BYTES:
            raise InvalidArgument(
                f"{source} is larger than {format_bytes(MAX_MODELFILE_BYTES)}.",
                next_step="For a model file use path instead.",
            )
        data = file.read(MAX_MODELFILE_BYTES, setting="of Modelfiles")
    return _ModelfileReader(parse_modelfile(decode_modelfile(data), source=source), file.path, access).read()


class _ModelfileReader:
    """Turns a Modelfile into a `ModelDefinition`.

    Args:
        modelfile: The parsed Modelfile.
        path: Its own path, which relative paths in it refer to; None where it was given as text.
        access: What may be read.
    """

    def __init__(self, modelfile: Modelfile, path: str | None, access: Access) -> None:
        self._modelfile, self._path, self._access = modelfile, path, access
        self._definition = ModelDefinition()

    def read(self) -> ModelDefinition:
        fields, dropped = create_request_fields(self._modelfile)
        self._definition.fields = fields
        self._definition.notes += [f"PARAMETER {name} is omitted: Ollama no longer accepts it." for name in dropped]
        for name in _FILE_FIELDS:
            for instruction in self._modelfile.all(name):
                self._add_reference(instruction)
        has_files = self._definition.local.get("files") or self._definition.blobs.get("files")
        if self._definition.base and has_files:
            raise self._modelfile.error(
                self._modelfile.all("from")[-1], "FROM names both a model and a file; it takes one of them"
            )
        return self._definition

    def _add_reference(self, instruction: Instruction) -> None:
        """Add what an instruction refers to: a blob of the host, a local file, or a model."""
        if blob := _BLOB_PATH.search(instruction.value):
            blobs = self._definition.blobs.setdefault(_FILE_FIELDS[instruction.name], {})
            blobs[f"{instruction.name}-{len(blobs)}.gguf"] = f"sha256:{blob[1]}"
        elif (path := self._referenced_path(instruction)) is not None:
            self._add_files(instruction, path)
        elif instruction.name == "from":
            self._definition.base = self._model_name(instruction)
        else:
            raise self._modelfile.error(instruction, f"{instruction.name.upper()} does not name an existing file")

    def _referenced_path(self, instruction: Instruction) -> str | None:
        """The path that an instruction refers to; None where it is the name of a model."""
        is_path = (
            _PATH_SYNTAX.match(instruction.value) is not None
            or _MODEL_FILE_NAME.fullmatch(instruction.value) is not None
        )
        if os.path.isabs(instruction.value) or instruction.value.startswith(("~", "file:")):
            return instruction.value
        if self._path is None:
            if is_path or instruction.name != "from":
                raise self._modelfile.error(
                    instruction,
                    "a relative path, but a Modelfile given as text has no folder",
                    next_step="Use an absolute path, or provide the path of the Modelfile.",
                )
            return None
        path = os.path.join(os.path.dirname(self._path), instruction.value)
        # A file beside the Modelfile goes before a model of the same name.
        return path if is_path or (".." not in instruction.value and os.path.exists(path)) else None

    def _add_files(self, instruction: Instruction, path: str) -> None:
        from ollama_mcp.work.weight_files import find_model_files

        if self._path is not None and os.path.realpath(path) == self._path:
            raise self._modelfile.error(instruction, f"{instruction.name.upper()} refers to this Modelfile itself")
        files = self._definition.local.setdefault(_FILE_FIELDS[instruction.name], [])
        try:
            found = find_model_files(path, self._access)
        except OllamaMCPError as error:
            error.message = f"{self._modelfile.source}, line {instruction.line}: {error.message}"
            raise
        # The request takes digests by name, so equal names of different folders must differ there.
        taken = {file.name for file in files}
        files += [replace(file, name=f"{len(files)}-{file.name}") if file.name in taken else file for file in found]

    def _model_name(self, instruction: Instruction) -> str:
        try:
            parse_name(instruction.value)
        except InvalidArgument:
            raise self._modelfile.error(
                instruction,
                "FROM is neither the name of a model nor an existing file",
                next_step="Names look like 'llama3.2:3b'; ollama_list_models lists installed models.",
            ) from None
        return instruction.value


async def _check_host(call: Call, definition: ModelDefinition) -> None:
    """Refuse a definition that the host could not create a model from.

    Raises:
        UnsupportedByVersion: The host no longer accepts safetensors.
        InvalidArgument: The host does not have one of the blobs.
    """
    from ollama_mcp.api.versions import SAFETENSORS_REMOVED

    client = call.client
    if definition.has_safetensors:
        version = await client.server_version()
        if version.known and version.numbers >= SAFETENSORS_REMOVED:
            raise UnsupportedByVersion(
                f"Since v0.35.0 Ollama creates no models from safetensors; {client.name} is Ollama {version}.",
                next_step="Convert the folder to GGUF first (llama.cpp's convert_hf_to_gguf.py), then use its path.",
                host=client.base_url,
                endpoint="POST /api/create",
            )
    for blobs in definition.blobs.values():
        for name, digest in blobs.items():
            if not await client.blob_exists(digest):
                raise InvalidArgument(
                    f"{client.name} ({client.base_url}) has no blob {digest[:19]}… for {name[:60]!r}.",
                    next_step="Use path for a local file, which is then uploaded.",
                )


async def create_model(call: Call, target: Overwritable, definition: ModelDefinition) -> TransferProgress:
    """Upload the files that the host lacks, and create the model.

    Raises:
        NeedsConfirmation: Meanwhile another model was given the name.
        OllamaMCPError: As `upload` and `OllamaClient.create`.
    """
    transfer, model = TransferProgress(), target.name
    for attempt in (1, 2):
        digests = await _upload(call, definition, transfer)
        request = await _request(call.client, model, definition, digests)
        if definition.files and attempt == 1:
            # Uploads take minutes, in which the user may have made a model of that name.
            await call.check_unchanged(target)
        try:
            return await follow_stream(call.client.create(request), call.progress, f"creating {model}", transfer)
        except BadRequest as error:
            # Ollama prunes blobs that no model uses. One may vanish between the check and the request.
            if attempt == 2 or not definition.files or "<model store>" not in error.detail:
                raise
    raise AssertionError  # pragma: no cover - the loop returns or raises


async def upload_file(call: Call, path: str, expected: str = "") -> str:
    """Upload one model file and return its digest.

    Args:
        call: The tool call.
        path: Its path.
        expected: The digest that the file must have, or "".

    Raises:
        InvalidArgument: It has another digest; nothing was sent.
        OllamaMCPError: As `verify_model_file` and `upload`.
    """
    from ollama_mcp.work.weight_files import verify_model_file

    file = await asyncio.to_thread(verify_model_file, path, os.path.basename(path), call.access)
    digests = await _upload(
        call, ModelDefinition(local={"files": [file]}), TransferProgress(), expected=expected.lower()
    )
    return digests["files"][file.name]


async def _upload(
    call: Call, definition: ModelDefinition, transfer: TransferProgress, *, expected: str = ""
) -> dict[str, dict[str, str]]:
    """Upload the local files that the host lacks; returns the digests of all files, by request field and name."""
    digests = {name: dict(blobs) for name, blobs in definition.blobs.items()}
    files = definition.files
    if not files:
        return digests
    from ollama_mcp.work.uploads import upload

    # Both phases of all files are counted from the start, so that the total does not grow meanwhile.
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
        for name, local in definition.local.items():
            sent = await upload(local, access=call.access, client=call.client, report=report, expected=expected)
            digests[name] = {**digests.get(name, {}), **sent}
    return digests


async def _request(
    client: OllamaClient, model: str, definition: ModelDefinition, digests: dict[str, dict[str, str]]
) -> CreateRequest:
    from ollama_mcp.api import ChatMessage, CreateRequest
    from ollama_mcp.api.versions import Feature

    fields = dict(definition.fields)
    if not (await client.server_version()).supports(Feature.CREATE) and not definition.has_safetensors:
        text = _as_modelfile(definition, digests)
        rest = {name: value for name, value in fields.items() if name not in _MODELFILE_FIELDS}
        return CreateRequest(model=model, modelfile=text, **rest)
    if messages := fields.pop("messages", None):
        fields["messages"] = [ChatMessage(**message) for message in messages]
    return CreateRequest(model=model, from_=definition.base or None, **digests, **fields)


def _as_modelfile(definition: ModelDefinition, digests: dict[str, dict[str, str]]) -> str:
    """The Modelfile that servers before v0.5.5 take instead of fields, with uploaded files by their digests."""
    fields = definition.fields
    bases = [definition.base] if definition.base else [f"@{digest}" for digest in digests.get("files", {}).values()]
    lines = [Instruction("from", base) for base in bases]
    lines += [Instruction("adapter", f"@{digest}") for digest in digests.get("adapters", {}).values()]
    lines += [Instruction(name, fields[name]) for name in ("template", "system") if fields.get(name)]
    for name, value in fields.get("parameters", {}).items():
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        lines += [Instruction("parameter", _parameter_text(item), name) for item in items]
    lines += [Instruction("license", text) for text in fields.get("license", [])]
    lines += [Instruction("message", message["content"], message["role"]) for message in fields.get("messages", [])]
    try:
        return render_modelfile(lines)
    except ValueError:
        raise InvalidArgument(
            "A text has a line that ends with quotes, which a Modelfile for servers before v0.5.5 cannot contain.",
            next_step="Change that line, or update Ollama.",
        ) from None


def _parameter_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
