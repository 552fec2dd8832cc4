"""Which files may be read, for which purpose: a value made from settings and facts, and the judgement by it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ollama_mcp.access.allowed import AllowedFolders
from ollama_mcp.access.handles import canonical_folder
from ollama_mcp.access.purpose import Purpose
from ollama_mcp.access.spelling import is_system_path
from ollama_mcp.access.surroundings import Surroundings, is_inside, is_project, is_too_wide
from ollama_mcp.access.wording import allow_command, quoted
from ollama_mcp.errors import NotAllowed
from ollama_mcp.settings.access import ReadSettings

# Folders of home where programs keep secrets without hiding them by name.
PROGRAM_FOLDERS = frozenset({"library", "appdata", "application data", "local settings", "snap", "node_modules"})
_KEYS = ("*.pem", "*.key", "*.kdbx", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.gpg")
KEY_LIKE_NAMES = (".env*", "*.env", "id_*", "credentials*", *_KEYS)


class FolderNotAllowed(NotAllowed):
    """The file lies in no folder that may be read; the user can allow `folder`.

    Args:
        message: As in OllamaMCPError.
        folder: Real path of the folder that would have to be allowed, for a form that asks the user. Where a symlink
            led there, it is told to the user only: the message does not name it.
        purpose: What the file was to be read for.
        next_step: As in OllamaMCPError.
    """

    def __init__(self, message: str, *, folder: str, purpose: Purpose, next_step: str) -> None:
        super().__init__(message, next_step=next_step)
        self.folder = folder
        self.purpose = purpose


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What may be read; equal settings and facts judge equally, whatever the process.

    Args:
        settings: The user's lists of folders.
        facts: Where the process runs and who asks.
        allowed: Folders allowed at the command line, which may grow while the server runs.
    """

    settings: ReadSettings
    facts: Surroundings
    allowed: AllowedFolders | None = None

    def check_transport(self, asked: str) -> None:
        """Refuse any path of a client that may not name files at all, before anything is looked up.

        Raises:
            NotAllowed: The client is on HTTP, and `read.over_http` is off or it showed no token.
        """
        if not self.facts.over_http or (self.settings.over_http and self.facts.has_token):
            return
        why = "without a token" if self.settings.over_http else "(setting read.over_http is off)"
        raise NotAllowed(
            f"{quoted(asked)} is a file; clients on HTTP may not name files {why}.",
            next_step="Send the content itself, as base64 or as a data: URI.",
        )

    def folders(self, purpose: Purpose) -> list[str]:
        """Return the real paths of the folders that may be read for a purpose, as they are at this moment."""
        return [folder.path for folder in self._folders(purpose)]

    def judge(self, real: str, purpose: Purpose, *, asked: str, status: os.stat_result | None = None) -> None:
        """Refuse a file that may not be read.

        Args:
            real: The file's real path.
            purpose: What it is to be read for.
            asked: The path as the call gave it, for the error's text.
            status: The open file's status; without it, what depends on owner and links is left open.

        Raises:
            FolderNotAllowed: It lies in no allowed folder.
            NotAllowed: It is hidden, named like a key, of another user, or of the system.
        """
        if is_system_path(real):
            raise NotAllowed(f"{quoted(asked)} leads to the system's own files, which are never read.")
        around = [folder for folder in self._folders(purpose) if is_inside(real, folder.path)]
        if not around:
            raise self._outside(real, purpose, asked)
        open_ones = [folder for folder in around if not self._is_hidden(real, folder.path)]
        if not open_ones:
            raise NotAllowed(
                f"{quoted(asked)} is hidden, or in a hidden or program-owned folder; these are not read.",
                next_step="The user can copy it to an ordinary folder, or allow exactly the folder it is in "
                f"(setting read.{purpose.setting}).",
            )
        if purpose is not Purpose.IMAGE and _is_key_like(os.path.basename(real)):
            raise NotAllowed(
                f"{quoted(asked)} is named like a key or a file of secrets; these are never read, by no setting.",
                next_step="Give another file.",
            )
        if status is not None and all(folder.shared for folder in open_ones):
            _check_owner(status, asked)

    def _folders(self, purpose: Purpose) -> Iterator[_Folder]:
        facts, settings = self.facts, self.settings
        named: list[str] = list(getattr(settings, purpose.setting))
        if facts.over_http:
            # Home is the default of the list; over HTTP only what was named on purpose counts.
            named = [folder for folder in named if folder != "~"]
        if self.allowed is not None:
            named += self.allowed.folders(purpose)
        for folder in named:
            yield from _canonical(_under_home(folder, facts.home))
        if facts.over_http:
            return
        yield from self._declared(purpose)
        if purpose is Purpose.IMAGE and settings.temp_images:
            for folder in facts.temp_folders:
                yield from _canonical(folder, shared=True)

    def _declared(self, purpose: Purpose) -> Iterator[_Folder]:
        home = canonical_folder(self.facts.home) or self.facts.home
        if self.settings.client_roots:
            for root in self.facts.roots:
                yield from (folder for folder in _canonical(root) if not is_too_wide(folder.path, home))
        if self.settings.working_folder == "never":
            return
        for folder in _canonical(self.facts.working_folder):
            if is_too_wide(folder.path, home) or (is_inside(folder.path, home) and self._is_hidden(folder.path, home)):
                continue
            if purpose is Purpose.IMAGE or is_project(folder.path, home):
                yield folder

    def _is_hidden(self, real: str, folder: str) -> bool:
        below = _parts_below(real, folder)
        if any(part.startswith(".") for part in below) or _any_marked_hidden(real, folder, below):
            return True
        home = canonical_folder(self.facts.home) or self.facts.home
        if not is_inside(real, home):
            return False
        first = _parts_below(real, home)[:1]
        return bool(first) and first[0].lower() in PROGRAM_FOLDERS and not is_inside(folder, os.path.join(home, *first))

    def _outside(self, real: str, purpose: Purpose, asked: str) -> FolderNotAllowed:
        folder = os.path.dirname(real)
        direct = os.path.normpath(asked) == real
        return FolderNotAllowed(
            f"{quoted(asked)} is outside the folders that may be read for this (setting read.{purpose.setting}).",
            folder=folder,
            purpose=purpose,
            next_step=f"If the user wants it read, the user can run {allow_command(folder if direct else 'FOLDER')}; "
            "it counts at once.",
        )


def _canonical(folder: str, *, shared: bool = False) -> Iterator[_Folder]:
    path = canonical_folder(folder)
    if path is not None:
        yield _Folder(path, shared)


def _under_home(folder: str, home: str) -> str:
    if folder == "~" or folder[:2] in ("~/", "~\\"):
        return os.path.join(home, folder[2:])
    return folder


def _parts_below(path: str, folder: str) -> list[str]:
    return [part for part in os.path.relpath(path, folder).split(os.sep) if part != os.curdir]


def _any_marked_hidden(real: str, folder: str, below: list[str]) -> bool:
    path = folder
    for part in below:
        path = os.path.join(path, part)
        try:
            if is_marked_hidden(os.lstat(path)):
                return True
        except OSError:
            return False
    return False


def is_marked_hidden(status: object) -> bool:
    """Tell whether a file's status carries the hidden mark of macOS or the hidden or system mark of Windows."""
    flags: int = getattr(status, "st_flags", 0)
    attributes: int = getattr(status, "st_file_attributes", 0)
    marks = stat.FILE_ATTRIBUTE_HIDDEN | stat.FILE_ATTRIBUTE_SYSTEM
    return bool(flags & stat.UF_HIDDEN or attributes & marks)


def _is_key_like(name: str) -> bool:
    return any(fnmatchcase(name.lower(), pattern) for pattern in KEY_LIKE_NAMES)


def _check_owner(status: os.stat_result, asked: str) -> None:
    # In a folder that others write to, a hard link gives another file this path: the links of a file count too.
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_nlink != 1):
        raise NotAllowed(
            f"{quoted(asked)} is in a shared temporary folder and belongs to another user, or has several names.",
            next_step="Copy it to a folder of the user's own.",
        )
