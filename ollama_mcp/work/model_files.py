"""The files that a model is made of: found from one path, and each proven to be what it is.

Uploaded bytes leave this machine, and from a model they could be pushed anywhere; so nothing is sent of a file whose
format was not proven first, and no folder is sent as a whole.
"""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ollama_mcp.access import Purpose
from ollama_mcp.access.spelling import absolute_path
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.formats.gguf import MAGIC, read_header
from ollama_mcp.formats.safetensors import read_tensors

if TYPE_CHECKING:
    from ollama_mcp.access import Access, OpenedFile

Kind = Literal["gguf", "safetensors", "side"]

# What a converter reads beside the weights; another file of the folder is never sent.
JSON_FILES = frozenset(
    (
        *("config.json", "generation_config.json", "params.json", "adapter_config.json", "modules.json"),
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
        *("preprocessor_config.json", "processor_config.json", "chat_template.json", "tekken.json"),
        *("sentence_bert_config.json", "config_sentence_transformers.json", "model.safetensors.index.json"),
    )
)
TOKENIZER, TEMPLATE, INDEX = "tokenizer.model", "chat_template.jinja", "model.safetensors.index.json"

_WEIGHTS = re.compile(r"(model|consolidated|adapter_model|adapters)[^/]*\.safetensors")
_SPLIT = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_MOST_PARTS = 512
_MOST_NAMES = 5_000
_LARGEST_SIDE = 64 * 1024 * 1024
_SMALL = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file whose format was proven.

    Args:
        name: What the request calls it: relative, with slashes.
        path: Its real path.
        kind: What it was proven to be.
        size: Its size in bytes.
        stamp: What tells whether it is still the same: device, number, size, last change, and whether it has a name.
        part: Which part of a split model it is, from 0, and of how many.
    """

    name: str
    path: str
    kind: Kind
    size: int
    stamp: tuple[int, ...]
    part: tuple[int, int] = (0, 1)


def model_files(text: str, access: Access) -> list[ModelFile]:
    """The files of the model or adapter at a path; disk work, to be called in a thread.

    Args:
        text: Path of a GGUF file, of any part of a split one, or of a folder with safetensors.
        access: What may be read.

    Raises:
        OllamaMCPError: As `Access.open_file`; or a file is missing, cut short, or not what it should be.
    """
    access.rules.check_transport(text)
    path = absolute_path(text, access.rules.facts.home)
    real = os.path.realpath(path)
    if os.path.isdir(real):
        # A folder is judged as a file in it would be, before it is looked into.
        access.rules.judge(os.path.join(real, "config.json"), Purpose.UPLOAD, asked=path)
        return _of_folder(real, access)
    match = _SPLIT.fullmatch(os.path.basename(path))
    if match:
        return _parts(os.path.dirname(path), match, access)
    found = prove(path, os.path.basename(path), access)
    if found.kind != "gguf":
        raise InvalidArgument(
            f"{quoted(path)} is no model by itself.", next_step="Give a GGUF file, or the folder with the safetensors."
        )
    return [found]


def prove(path: str, name: str, access: Access) -> ModelFile:
    """Open a file and make sure that it is what a model is made of.

    Raises:
        OllamaMCPError: As `Access.open_file`; or it is something else, sparse, or cut short.
    """
    with access.open_file(path, Purpose.UPLOAD) as file:
        shown = quoted(file.asked)
        _check_whole(file, shown)
        try:
            kind, part = _kind(file, name, shown)
        except OSError as error:
            raise DiskError(f"{shown} could not be read: {error.strerror}.", next_step="Check the disk.") from error
        return ModelFile(name, file.path, kind, file.size, stamp(file), part)


def stamp(file: OpenedFile) -> tuple[int, ...]:
    """What tells whether an open file is the same, and unchanged."""
    status = os.fstat(file.stream.fileno())
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, min(status.st_nlink, 1))


def _check_whole(file: OpenedFile, shown: str) -> None:
    # Small files may lie inside the directory itself; and compressing disks save less than half on weights.
    if not file.size or (file.size > _SMALL and file.allocated < file.size // 2):
        what = "empty" if not file.size else f"sparse: {file.size:,} bytes, of which {file.allocated:,} are there"
        raise InvalidArgument(f"{shown} is {what}.", next_step="A download that broke off has to be fetched again.")


def _kind(file: OpenedFile, name: str, shown: str) -> tuple[Kind, tuple[int, int]]:
    """What the file is, and which part of it."""
    buffered = io.BufferedReader(file.stream, _SMALL)
    try:
        if buffered.peek(4)[:4] == MAGIC:
            return "gguf", read_header(buffered, file.size, argument=shown).part
        if name.endswith(".safetensors"):
            read_tensors(buffered, file.size, argument=shown)
            return "safetensors", (0, 1)
        base = os.path.basename(name)
        could_be = base in (*JSON_FILES, TOKENIZER, TEMPLATE) and file.size <= _LARGEST_SIDE
        if could_be and _is_side_file(buffered.read(_LARGEST_SIDE), base):
            return "side", (0, 1)
    finally:
        buffered.detach()
    raise InvalidArgument(
        f"{shown} is no file that a model is made of; nothing of it was sent.",
        next_step="Give a GGUF file, or a folder with safetensors, config.json and tokenizer files.",
    )


def _is_side_file(data: bytes, name: str) -> bool:
    if name == TOKENIZER:
        # SentencePiece's protobuf: the first field is a piece, whose own first field is its text.
        return data[:1] == b"\n" and data[2:3] == b"\n"
    if name == TEMPLATE:
        return b"{%" in data or b"{{" in data
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _parts(folder: str, match: re.Match[str], access: Access) -> list[ModelFile]:
    """All parts of a split GGUF, in their order."""
    stem, count = match[1], int(match[3])
    if not 1 <= int(match[2]) <= count <= _MOST_PARTS:
        raise InvalidArgument(f"{quoted(match[0])} is no part of a split GGUF.", next_step="Check its name.")
    names = [f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    return [_part(os.path.join(folder, name), place, count, access) for place, name in enumerate(names)]


def _part(path: str, place: int, count: int, access: Access) -> ModelFile:
    found = prove(path, os.path.basename(path), access)
    if found.kind != "gguf" or found.part != (place, count):
        raise InvalidArgument(
            f"{quoted(path)} is not part {place + 1} of {count}, as its name says.", next_step="Fetch the parts again."
        )
    return found


def _of_folder(folder: str, access: Access) -> list[ModelFile]:
    names = _names(folder)
    weights = [name for name in names if _WEIGHTS.fullmatch(name.rpartition("/")[2])]
    if not weights:
        return _gguf_of_folder(folder, names, access)
    is_adapter = all(name.startswith("adapter") for name in weights)
    needed = "adapter_config.json" if is_adapter else "config.json"
    if needed not in names:
        raise InvalidArgument(
            f"{quoted(folder)} has safetensors but no {needed}.", next_step="Fetch the whole model into the folder."
        )
    _check_shards(folder, names, access)
    side = [name for name in names if name in (*JSON_FILES, TOKENIZER, TEMPLATE) or name.endswith("/config.json")]
    return [prove(os.path.join(folder, name), name, access) for name in [*side, *weights]]


def _gguf_of_folder(folder: str, names: list[str], access: Access) -> list[ModelFile]:
    """The one model in GGUF format of a folder without safetensors."""
    found = sorted(name for name in names if name.lower().endswith(".gguf") and "/" not in name)
    stems = {match[1] if (match := _SPLIT.fullmatch(name)) else name for name in found}
    if len(stems) == 1:
        return model_files(os.path.join(folder, found[0]), access)
    what = f"{len(stems)} models in GGUF format" if stems else "neither safetensors nor a GGUF file"
    raise InvalidArgument(f"{quoted(folder)} holds {what}.", next_step="Give the path of the model file itself.")


def _check_shards(folder: str, names: list[str], access: Access) -> None:
    """Refuse a folder whose index names a file that is not there."""
    if INDEX not in names:
        return
    with access.open_file(os.path.join(folder, INDEX), Purpose.UPLOAD) as file:
        data = file.read(_LARGEST_SIDE, setting="of index files")
    try:
        index: Any = json.loads(data)
        shards = set(cast("dict[str, str]", index["weight_map"]).values())
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        raise InvalidArgument(f"{INDEX} in {quoted(folder)} is no index.", next_step="Fetch it again.") from None
    missing = sorted(shard for shard in map(str, shards) if shard not in names)
    if missing:
        raise InvalidArgument(
            f"{quoted(folder)} lacks {quoted(missing[0], 60)}, which its index names ({len(missing)} missing).",
            next_step="Fetch the whole model into the folder.",
        )


def _names(folder: str) -> list[str]:
    """The names in a folder and in its own folders, with slashes, sorted."""
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                inner = os.listdir(entry.path) if entry.is_dir() else []
                names += [f"{entry.name}/{name}" for name in inner] or [entry.name]
                if len(names) > _MOST_NAMES:
                    raise InvalidArgument(
                        f"{quoted(folder)} holds more than {_MOST_NAMES:,} files.", next_step="Give the model's own."
                    )
    except OSError as error:
        raise DiskError(
            f"{quoted(folder)} could not be listed: {error.strerror}.", next_step="Check its rights."
        ) from None
    return sorted(names)
