"""What a model is to be made of: another model, a Modelfile, files of this machine, or blobs that the host has."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import InvalidArgument, OllamaMCPError, UnsupportedByVersion
from ollama_mcp.formats.modelfile import Instruction, Modelfile, begins_as_instruction, decode, parse
from ollama_mcp.formats.modelfile_request import request_fields
from ollama_mcp.formats.names import parse_name
from ollama_mcp.server.text import size

if TYPE_CHECKING:
    from ollama_mcp.access import Access
    from ollama_mcp.server.call import Call
    from ollama_mcp.work.model_files import ModelFile

LARGEST_MODELFILE = 1_000_000

# Instructions that name files, and the field of the request that these go into.
_FIELDS = {"from": "files", "adapter": "adapters", "draft": "draft_files"}
# `show` gives the weights as a path of the host's own store, whose last part is their digest.
_BLOB = re.compile(r"(?:^|[/\\])blobs[/\\]sha256[-:]([0-9a-f]{64})$")
_PATH = re.compile(r"[.~]?[/\\]|\.\.?[/\\]|~$|\.\.?$|file:|[A-Za-z]:[/\\]", re.IGNORECASE)
# Repositories of a hub may be called like a file.
_FILE = re.compile(r"(?!(?:hf|huggingface)\.co/)[^:]*\.(gguf|safetensors|bin)", re.IGNORECASE)


@dataclass(slots=True)
class Recipe:
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


async def read_recipe(call: Call, *, base: str, modelfile: str, path: str, files: dict[str, str] | None) -> Recipe:
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
    recipe = Recipe(base, blobs={"files": files} if files else {})
    if path:
        recipe = await asyncio.to_thread(_of_path, path, call.access)
    elif modelfile:
        recipe = await asyncio.to_thread(_of_modelfile, modelfile, call.access)
    if recipe.base:
        call.check_registry(recipe.base, argument="from")
        await call.hosts.installed_model(recipe.base)
    await _check_host(call, recipe)
    return recipe


def _of_path(path: str, access: Access) -> Recipe:
    from ollama_mcp.work.model_files import model_files

    files = model_files(path, access)
    if any(file.name == "adapter_config.json" for file in files):
        raise InvalidArgument(
            f"{quoted(path)} is an adapter, not a model.",
            next_step="Give a modelfile with FROM, its base model, and ADAPTER, this path.",
        )
    return Recipe(local={"files": files})


def _of_modelfile(given: str, access: Access) -> Recipe:
    if "\n" in given.strip() or begins_as_instruction(given):
        return _Reader(parse(given), None, access).recipe()
    from ollama_mcp.access import Purpose

    with access.open_file(given, Purpose.UPLOAD) as file:
        source = f"Modelfile {quoted(os.path.basename(file.path), 60)}"
        if file.size > LARGEST_MODELFILE:
            raise InvalidArgument(
                f"{source} is larger than {size(LARGEST_MODELFILE)}.", next_step="Give a model's own file as path."
            )
        data = file.read(LARGEST_MODELFILE, setting="of Modelfiles")
    return _Reader(parse(decode(data), source=source), file.path, access).recipe()


class _Reader:
    """Turns a Modelfile into a recipe; `path` is its own, None where it was given as text."""

    def __init__(self, modelfile: Modelfile, path: str | None, access: Access) -> None:
        self._modelfile, self._path, self._access = modelfile, path, access
        self._recipe = Recipe()

    def recipe(self) -> Recipe:
        fields, dropped = request_fields(self._modelfile)
        self._recipe.fields = fields
        self._recipe.notes += [f"PARAMETER {name} is left out: Ollama no longer takes it." for name in dropped]
        for name in _FIELDS:
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
        if blob := _BLOB.search(one.value):
            blobs = self._recipe.blobs.setdefault(_FIELDS[one.name], {})
            blobs[f"{one.name}-{len(blobs)}.gguf"] = f"sha256:{blob[1]}"
        elif (path := self._path_of(one)) is not None:
            self._add(one, path)
        elif one.name == "from":
            self._recipe.base = self._name_of(one)
        else:
            raise self._modelfile.error(one, f"{one.name.upper()} names no file that is there")

    def _path_of(self, one: Instruction) -> str | None:
        """The path that an instruction means; None where it is no path but a name."""
        spelled = _PATH.match(one.value) is not None or _FILE.fullmatch(one.value) is not None
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
        from ollama_mcp.work.model_files import model_files

        if self._path is not None and os.path.realpath(path) == self._path:
            raise self._modelfile.error(one, f"{one.name.upper()} leads back to this Modelfile")
        files = self._recipe.local.setdefault(_FIELDS[one.name], [])
        try:
            found = model_files(path, self._access)
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


async def _check_host(call: Call, recipe: Recipe) -> None:
    """Refuse what the host could not make a model of.

    Raises:
        UnsupportedByVersion: It no longer takes safetensors.
        InvalidArgument: It lacks a blob.
    """
    from ollama_mcp.api.versions import SAFETENSORS_GONE

    client = call.client
    if recipe.has_safetensors:
        version = await client.server()
        if version.known and version.numbers >= SAFETENSORS_GONE:
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
