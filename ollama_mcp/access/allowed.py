"""The folders that the user allowed at the command line, kept in a small JSON file.

The file has the form of the section in the config file, `{"read": {"image_folders": [...]}}`, so the config file in use
can serve as well; everything else in it is kept.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from ollama_mcp._paths import user_config_file
from ollama_mcp.access.descriptors import canonical_folder
from ollama_mcp.access.path_syntax import is_system_path
from ollama_mcp.access.quoting import quoted
from ollama_mcp.access.read_rules import Purpose
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed

FILE_NAME = "allowed.json"
_SECTION = "read"
_MAX_BYTES = 1_000_000


def allowed_folders_file() -> Path:
    """Return the path of the file in the user's configuration folder, whether it exists or not."""
    return user_config_file().with_name(FILE_NAME)


def allow_folder(folder: str, *, file: Path | None = None, purposes: Iterable[Purpose] = tuple(Purpose)) -> Path:
    """Add a folder to those that may be read; running servers see it at their next call.

    Args:
        folder: An existing folder; `~` is home. It is stored by its real path.
        file: The JSON file to add it to, created if it does not exist; the user's own by default.
        purposes: What may be read there.

    Returns:
        The real path of the folder.

    Raises:
        InvalidArgument: It is not a folder, or cannot be opened.
        NotAllowed: It is a file-system root, or below /proc, /sys or /dev.
        DiskError: The file cannot be read or written, or has another form.
    """
    file = file or allowed_folders_file()
    real = canonical_folder(os.path.abspath(os.path.expanduser(folder)))
    if real is None:
        raise InvalidArgument(
            f"{quoted(folder)} is not a folder that can be opened.", next_step="Name an existing folder."
        )
    if os.path.dirname(real) == real or is_system_path(real):
        raise NotAllowed(
            f"{quoted(folder)} is a whole disk or a system folder (/proc, /sys, /dev), which is never allowed.",
            next_step="Name the folder that contains the files.",
        )
    content = _load(file)
    section = content.setdefault(_SECTION, {})
    if not isinstance(section, dict):
        raise _wrong_form(file)
    _add_folder(cast("dict[str, Any]", section), real, purposes, file)
    _write_atomically(file, content)
    return Path(real)


class AllowedFolders:
    """The folders in such a file, read again whenever the file has changed.

    A file that is missing or broken allows nothing: a typing mistake must not stop a running server.

    Args:
        file: The JSON file, whether it exists or not.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        # Time, size and inode: the inode, since the file is replaced and not rewritten.
        self._version: tuple[int, int, int] | None = None
        self._folders: dict[Purpose, tuple[str, ...]] = {}

    @property
    def needs_config_option(self) -> bool:
        """Whether the `allow` command has to be told of this file: it is neither of those that it finds by itself."""
        return self.file not in (allowed_folders_file(), user_config_file())

    def folders(self, purpose: Purpose) -> tuple[str, ...]:
        """Return the folders allowed for a purpose at this moment."""
        try:
            status = self.file.stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if version != self._version:
                self._folders = _parse_folders(_load(self.file))
                self._version = version
        except (OSError, DiskError):
            self._folders, self._version = {}, None
        return self._folders.get(purpose, ())


def _load(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_BYTES + 1)
        content: object = json.loads(text) if len(text) <= _MAX_BYTES else None
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong_form(file) from error
    if not isinstance(content, dict):
        raise _wrong_form(file)
    return cast("dict[str, Any]", content)


def _wrong_form(file: Path) -> DiskError:
    return DiskError(
        f"{quoted(str(file))} is not a readable JSON file of the form {{'read': {{'image_folders': [...]}}}}.",
        next_step="Repair or remove it, then try again.",
    )


def _parse_folders(content: dict[str, Any]) -> dict[Purpose, tuple[str, ...]]:
    section: object = content.get(_SECTION)
    if not isinstance(section, dict):
        return {}
    named = cast("dict[str, object]", section)
    return {purpose: tuple(_strings(named.get(purpose.setting))) for purpose in Purpose}


def _strings(value: object) -> list[str]:
    return [item for item in cast("list[object]", value) if isinstance(item, str)] if isinstance(value, list) else []


def _add_folder(section: dict[str, Any], folder: str, purposes: Iterable[Purpose], file: Path) -> None:
    for purpose in purposes:
        folders: object = section.setdefault(purpose.setting, [])
        if not isinstance(folders, list):
            raise _wrong_form(file)
        if folder not in folders:
            cast("list[str]", folders).append(folder)


def _write_atomically(file: Path, content: dict[str, Any]) -> None:
    # A server that reads at this moment must see either the old file or the new one.
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # A symlink stays one, and its target is replaced: people link config files to a folder of dotfiles.
        target = Path(os.path.realpath(file))
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(content, stream, indent=2, ensure_ascii=False)
                stream.write("\n")
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise DiskError(
            f"{quoted(str(file))} could not be written: {error.strerror or 'unknown reason'}.",
            next_step="Check the permissions of its folder, then try again.",
        ) from error
