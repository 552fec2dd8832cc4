"""The folders that the user allowed at the command line, kept in a small JSON file.

The file has the form of the configuration's own section, `{"read": {"image_folders": [...]}}`, so the configuration
file in use can serve as well; whatever else stands in it stays.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from ollama_mcp.access.handles import canonical_folder
from ollama_mcp.access.purpose import Purpose
from ollama_mcp.access.surroundings import is_inside
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed

FILE_NAME = "allowed.json"
_SECTION = "read"
_MAX_FILE = 1_000_000


def default_file() -> Path:
    """Return the file in the user's configuration folder."""
    import platformdirs

    return Path(platformdirs.user_config_dir("ollama-mcp-server", appauthor=False)) / FILE_NAME


def allow(folder: str, *, file: Path | None = None, purposes: Iterable[Purpose] = tuple(Purpose)) -> Path:
    """Add a folder to those that may be read; running servers see it at their next call.

    Args:
        folder: An existing folder; `~` is home. It is kept by its real path.
        file: The JSON file to add it to; the user's own by default. Made when absent.
        purposes: What may be read there.

    Returns:
        The real path of the folder.

    Raises:
        InvalidArgument: It is no folder.
        NotAllowed: It is a file-system root or a tree of devices.
        DiskError: The file cannot be read or written, or is not such a file.
    """
    file = file or default_file()
    real = canonical_folder(os.path.abspath(os.path.expanduser(folder)))
    if real is None:
        raise InvalidArgument(
            f"{quoted(folder)} is not a folder that can be opened.", next_step="Name an existing folder."
        )
    if os.path.dirname(real) == real or any(is_inside(real, tree) for tree in ("/proc", "/sys", "/dev")):
        raise NotAllowed(
            f"{quoted(folder)} is a whole disk or a system tree, which is never allowed.",
            next_step="Name the folder that holds the files.",
        )
    content = _load(file)
    section = content.setdefault(_SECTION, {})
    if not isinstance(section, dict):
        raise _not_ours(file)
    _add(cast("dict[str, Any]", section), real, purposes, file)
    _replace(file, content)
    return Path(real)


class AllowedFolders:
    """The folders in such a file, read again whenever the file has changed.

    A file that is absent or broken allows nothing: a typing mistake must not stop a running server.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: tuple[int, int, int] | None = None
        self._folders: dict[Purpose, tuple[str, ...]] = {}

    def folders(self, purpose: Purpose) -> tuple[str, ...]:
        """Return the folders that are allowed for a purpose at this moment."""
        try:
            status = self.file.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._folders = _folders_in(_load(self.file))
                self._seen = seen
        except (OSError, DiskError):
            self._folders, self._seen = {}, None
        return self._folders.get(purpose, ())


def _load(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_FILE + 1)
        content: object = json.loads(text) if len(text) <= _MAX_FILE else None
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _not_ours(file) from error
    if not isinstance(content, dict):
        raise _not_ours(file)
    return cast("dict[str, Any]", content)


def _not_ours(file: Path) -> DiskError:
    return DiskError(
        f"{quoted(str(file))} is not a readable JSON file of the form {{'read': {{'image_folders': [...]}}}}.",
        next_step="Repair or remove it, then try again.",
    )


def _folders_in(content: dict[str, Any]) -> dict[Purpose, tuple[str, ...]]:
    section: object = content.get(_SECTION)
    if not isinstance(section, dict):
        return {}
    named = cast("dict[str, object]", section)
    return {purpose: tuple(_strings(named.get(purpose.setting))) for purpose in Purpose}


def _strings(value: object) -> list[str]:
    return [item for item in cast("list[object]", value) if isinstance(item, str)] if isinstance(value, list) else []


def _add(section: dict[str, Any], folder: str, purposes: Iterable[Purpose], file: Path) -> None:
    for purpose in purposes:
        folders: object = section.setdefault(purpose.setting, [])
        if not isinstance(folders, list):
            raise _not_ours(file)
        if folder not in folders:
            cast("list[str]", folders).append(folder)


def _replace(file: Path, content: dict[str, Any]) -> None:
    # Written beside and renamed over: a server that reads at this moment sees the old file or the new one.
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
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
            next_step="Check the rights of its folder, then try again.",
        ) from error
