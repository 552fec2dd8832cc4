"""The files that a model is created from: found from one path, and each verified to be of its format.

Uploaded bytes leave this machine, and as part of a model they could be pushed anywhere. So no file is sent before its
format is verified, and no folder is sent as a whole.
"""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ollama_mcp.access import Purpose
from ollama_mcp.access.path_syntax import SENT
from ollama_mcp.access.quoting import quoted
from ollama_mcp.access.similar_names import existing_path
from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.formats.gguf import MAGIC, read_gguf_header
from ollama_mcp.formats.safetensors import read_safetensors_header

if TYPE_CHECKING:
    from ollama_mcp.access import Access, OpenedFile

Kind = Literal["gguf", "safetensors", "sidecar"]

# What Ollama's converter reads beside the weights; no other file of the folder is sent.
SIDECAR_JSON = frozenset(
    (
        *("config.json", "generation_config.json", "params.json", "adapter_config.json", "modules.json"),
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
        *("preprocessor_config.json", "processor_config.json", "chat_template.json", "tekken.json"),
        *("sentence_bert_config.json", "config_sentence_transformers.json", "model.safetensors.index.json"),
    )
)
TOKENIZER, TEMPLATE, INDEX = "tokenizer.model", "chat_template.jinja", "model.safetensors.index.json"
# The layers of a sentence-transformers model. Ollama reads it, and the config.json of the pooling layer's folder.
MODULES = "modules.json"
_POOLING = "sentence_transformers.models.Pooling"

_WEIGHTS = re.compile(r"(model|consolidated|adapter_model|adapters)[^/]*\.safetensors")
_SPLIT = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_MAX_PARTS = 512
_MAX_NAMES = 5_000
_MAX_SIDECAR_BYTES = 64 * 1024 * 1024
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file whose format was verified.

    Args:
        name: Its name in the request: relative, with slashes.
        path: Its real path.
        kind: Its verified format.
        size: Its size in bytes.
        state: As `file_state` returns it: another value means another or a changed file.
        part: Which part of a split model it is, counted from 0, and the number of parts.
    """

    name: str
    path: str
    kind: Kind
    size: int
    state: tuple[int, ...]
    part: tuple[int, int] = (0, 1)


def find_model_files(text: str, access: Access) -> list[ModelFile]:
    """Return the files of the model or adapter at a path; blocking, call it in a thread.

    Args:
        text: Path of a GGUF file, of any part of a split one, or of a folder with safetensors or one GGUF model.
        access: What may be read.

    Raises:
        OllamaMCPError: As `Access.open_file`; or a file is missing, truncated, or of another format.
    """
    if text.lstrip().startswith(SENT):
        # One file: there are no folders.
        (path,) = access.find(text, Purpose.UPLOAD, 1).paths
        return [_whole_model(path, access)]
    access.read_rules.check_transport(text)
    path = existing_path(access.read_rules.resolve(text), lambda: access.read_rules.checker(Purpose.UPLOAD))
    real = os.path.realpath(path)
    if os.path.isdir(real):
        # The rules are made for files: a folder is checked as a file in it would be, before it is listed.
        access.read_rules.check(os.path.join(real, "config.json"), Purpose.UPLOAD, requested=path)
        return _folder_files(real, access)
    match = _SPLIT.fullmatch(os.path.basename(path))
    if match:
        return _split_parts(os.path.dirname(path), match, access)
    return [_whole_model(path, access)]


def _whole_model(path: str, access: Access) -> ModelFile:
    found = verify_model_file(path, os.path.basename(path), access)
    if found.kind != "gguf":
        raise InvalidArgument(
            f"{quoted(path)} is not a complete model.",
            next_step="Give a GGUF file, or the folder with the safetensors.",
        )
    return found


def verify_model_file(path: str, name: str, access: Access) -> ModelFile:
    """Verify that a file is GGUF, safetensors, or a sidecar file of a model; blocking, call it in a thread.

    Args:
        path: Its path.
        name: Its name in the request.
        access: What may be read.

    Raises:
        OllamaMCPError: As `Access.open_file`; or it is of another format, empty, sparse, or truncated.
    """
    with access.open_file(path, Purpose.UPLOAD) as file:
        shown = quoted(file.requested)
        _check_complete(file, shown)
        try:
            kind, part = _detect_kind(file, name, shown)
        except OSError as error:
            raise DiskError(f"{shown} could not be read: {error.strerror}.", next_step="Check the disk.") from error
        return ModelFile(name, file.path, kind, file.size, file_state(file), part)


def file_state(file: OpenedFile) -> tuple[int, ...]:
    """Return what changes when an open file is replaced, written to or deleted: device, inode, size, mtime, linked."""
    status = os.fstat(file.stream.fileno())
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, min(status.st_nlink, 1))


def _check_complete(file: OpenedFile, shown: str) -> None:
    # Some file systems store small files inside the inode, with no blocks allocated; and those that compress save less
    # than half on weights.
    if not file.size or (file.size > _MEBIBYTE and file.allocated < file.size // 2):
        what = "empty" if not file.size else f"sparse: {file.size:,} bytes, of which {file.allocated:,} are on the disk"
        raise InvalidArgument(f"{shown} is {what}.", next_step="An interrupted download has to be repeated.")


def _detect_kind(file: OpenedFile, name: str, shown: str) -> tuple[Kind, tuple[int, int]]:
    """The format of a file, and which part of how many it is."""
    # The parsers make many small reads, and the stream is unbuffered.
    buffered = io.BufferedReader(file.stream, _MEBIBYTE)
    try:
        if buffered.peek(4)[:4] == MAGIC:
            return "gguf", read_gguf_header(buffered, file.size, argument=shown).part
        if name.endswith(".safetensors"):
            read_safetensors_header(buffered, file.size, argument=shown)
            return "safetensors", (0, 1)
        base = os.path.basename(name)
        may_be_sidecar = base in (*SIDECAR_JSON, TOKENIZER, TEMPLATE) and file.size <= _MAX_SIDECAR_BYTES
        if may_be_sidecar and _is_sidecar(buffered.read(_MAX_SIDECAR_BYTES), base):
            return "sidecar", (0, 1)
    finally:
        # Else the stream, which the caller owns, would be closed with the buffer.
        buffered.detach()
    raise InvalidArgument(
        f"{shown} is not a file of a model; nothing of it was sent.",
        next_step="Give a GGUF file, or a folder with safetensors, config.json and tokenizer files.",
    )


def _is_sidecar(data: bytes, name: str) -> bool:
    # A name alone proves nothing: anything may lie in the folder as tokenizer.model.
    if name == TOKENIZER:
        # SentencePiece's protobuf: field 1 of the message is a piece, and field 1 of a piece is its text.
        return data[:1] == b"\n" and data[2:3] == b"\n"
    if name == TEMPLATE:
        return b"{%" in data or b"{{" in data
    try:
        content: Any = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return _modules(content) is not None if name == MODULES else isinstance(content, dict)


def _modules(content: Any) -> list[dict[str, Any]] | None:
    """The layers that a modules.json lists, or None if it is none."""
    if not isinstance(content, list):
        return None
    layers = cast("list[Any]", content)
    if layers and all(isinstance(layer, dict) and {"type", "path"} <= cast("Any", layer).keys() for layer in layers):
        return layers
    return None


def _split_parts(folder: str, match: re.Match[str], access: Access) -> list[ModelFile]:
    """All parts of a split GGUF, in their order."""
    stem, count = match[1], int(match[3])
    if not 1 <= int(match[2]) <= count <= _MAX_PARTS:
        raise InvalidArgument(f"{quoted(match[0])} is not a part of a split GGUF.", next_step="Check its name.")
    names = [f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    return [_split_part(os.path.join(folder, name), index, count, access) for index, name in enumerate(names)]


def _split_part(path: str, index: int, count: int, access: Access) -> ModelFile:
    found = verify_model_file(path, os.path.basename(path), access)
    # By its name a renamed part passes for another; its header tells which one it is.
    if found.kind != "gguf" or found.part != (index, count):
        raise InvalidArgument(
            f"{quoted(path)} is not part {index + 1} of {count}, as its name says.",
            next_step="Download the parts again.",
        )
    return found


def _folder_files(folder: str, access: Access) -> list[ModelFile]:
    names = _list_names(folder)
    weights = [name for name in names if _WEIGHTS.fullmatch(name.rpartition("/")[2])]
    if not weights:
        return _folder_gguf(folder, names, access)
    is_adapter = all(name.startswith("adapter") for name in weights)
    needed = "adapter_config.json" if is_adapter else "config.json"
    if needed not in names:
        raise InvalidArgument(
            f"{quoted(folder)} has safetensors but no {needed}.", next_step="Download the whole model into the folder."
        )
    _check_shards(folder, names, access)
    _check_modules(folder, names, access)
    # Subfolders of sentence-transformers models hold a config.json each (1_Pooling/config.json).
    sidecars = [name for name in names if name in (*SIDECAR_JSON, TOKENIZER, TEMPLATE) or name.endswith("/config.json")]
    return [verify_model_file(os.path.join(folder, name), name, access) for name in [*sidecars, *weights]]


def _folder_gguf(folder: str, names: list[str], access: Access) -> list[ModelFile]:
    """The GGUF model of a folder without safetensors, if there is exactly one."""
    found = sorted(name for name in names if name.lower().endswith(".gguf") and "/" not in name)
    stems = {match[1] if (match := _SPLIT.fullmatch(name)) else name for name in found}
    if len(stems) == 1:
        return find_model_files(os.path.join(folder, found[0]), access)
    what = f"{len(stems)} models in GGUF format" if stems else "neither safetensors nor a GGUF file"
    raise InvalidArgument(f"{quoted(folder)} holds {what}.", next_step="Give the path of the model file itself.")


def _check_shards(folder: str, names: list[str], access: Access) -> None:
    """Refuse a folder whose index names a file that is missing."""
    if INDEX not in names:
        return
    with access.open_file(os.path.join(folder, INDEX), Purpose.UPLOAD) as file:
        data = file.read(_MAX_SIDECAR_BYTES, setting="of index files")
    try:
        index: Any = json.loads(data)
        shards = set(cast("dict[str, str]", index["weight_map"]).values())
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        raise InvalidArgument(
            f"{INDEX} in {quoted(folder)} is not a valid index.", next_step="Download it again."
        ) from None
    missing = sorted(shard for shard in map(str, shards) if shard not in names)
    if missing:
        raise InvalidArgument(
            f"{quoted(folder)} lacks {quoted(missing[0], 60)}, which its index names ({len(missing)} missing).",
            next_step="Download the whole model into the folder.",
        )


def _check_modules(folder: str, names: list[str], access: Access) -> None:
    """Refuse a sentence-transformers folder without the settings of its pooling layer, which Ollama needs."""
    if MODULES not in names:
        return
    with access.open_file(os.path.join(folder, MODULES), Purpose.UPLOAD) as file:
        data = file.read(_MAX_SIDECAR_BYTES, setting="of modules.json")
    try:
        layers = _modules(json.loads(data))
    except (ValueError, RecursionError):
        layers = None
    if layers is None:
        raise InvalidArgument(
            f"{MODULES} in {quoted(folder)} is not a list of layers.", next_step="Download it again."
        ) from None
    for layer in layers:
        needed = f"{layer['path']}/config.json"
        if layer["type"] == _POOLING and needed not in names:
            raise InvalidArgument(
                f"{quoted(folder)} lacks {quoted(needed, 60)}, which its {MODULES} names.",
                next_step="Download the whole model into the folder.",
            )


def _list_names(folder: str) -> list[str]:
    """The names in a folder and its direct subfolders, with slashes, sorted."""
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                inner = os.listdir(entry.path) if entry.is_dir() else []
                names += [f"{entry.name}/{name}" for name in inner] or [entry.name]
                if len(names) > _MAX_NAMES:
                    raise InvalidArgument(
                        f"{quoted(folder)} holds more than {_MAX_NAMES:,} files.",
                        next_step="Give the model's own folder.",
                    )
    except OSError as error:
        raise DiskError(
            f"{quoted(folder)} could not be listed: {error.strerror}.", next_step="Check its permissions."
        ) from None
    return sorted(names)
