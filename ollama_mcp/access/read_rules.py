"""Which files may be read for which purpose.

`ReadRules` are made from the settings and the environment of a call. They find the folders that may be read;
`PathChecker` checks real paths against these.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import translate
from typing import TYPE_CHECKING

from ollama_mcp.access.descriptors import canonical_folder
from ollama_mcp.access.environment import RuntimeEnvironment
from ollama_mcp.access.folders import is_hidden, is_inside
from ollama_mcp.access.path_syntax import absolute_path, is_system_path
from ollama_mcp.access.quoting import allow_command, quoted
from ollama_mcp.errors import NotAllowed
from ollama_mcp.settings.access import ReadSettings

if TYPE_CHECKING:
    from ollama_mcp.access.allowed import AllowedFolders

_KEY_FILES = ("*.pem", "*.key", "*.kdbx", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.gpg")
# Patterns of lower-case file names.
KEY_LIKE_NAMES = (".env*", "*.env", "id_*", "credentials*", *_KEY_FILES)
_KEY_LIKE = re.compile("|".join(map(translate, KEY_LIKE_NAMES)))
_SEND_CONTENT = "Send the content itself, as base64 or as a data: URI."


class Purpose(StrEnum):
    """What a file is read for; each purpose has its own list of folders.

    Of an image only pixels leave this machine, so its list may be broad. Text and uploads leave as they are.
    """

    IMAGE = "image"
    TEXT = "text"
    UPLOAD = "upload"

    @property
    def setting(self) -> str:
        """Name of the field of `ReadSettings` that lists the folders."""
        return f"{self.value}_folders"


class Refusal(StrEnum):
    """Why a file may not be read; the value follows a count, as in "3 named like a key"."""

    SYSTEM = "system files"
    OUTSIDE = "outside the readable folders"
    HIDDEN = "hidden or program-owned"
    KEY_LIKE = "named like a key"
    SHARED = "shared with other users"


class FolderNotAllowed(NotAllowed):
    """The file lies in no folder that may be read; the user can allow `folder`.

    Args:
        message: As in OllamaMCPError.
        folder: Real path of the folder that would have to be allowed, for a form that asks the user. The message does
            not name it where a symlink led there: only the user may learn it.
        purpose: What the file was to be read for.
        next_step: As in OllamaMCPError.
    """

    def __init__(self, message: str, *, folder: str, purpose: Purpose, next_step: str) -> None:
        super().__init__(message, next_step=next_step)
        self.folder = folder
        self.purpose = purpose


@dataclass(frozen=True, slots=True)
class ReadableFolder:
    """A folder that may be read.

    Args:
        path: Its real path.
        shared: Whether other users of the machine can write to it.
    """

    path: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class PathChecker:
    """The folders that may be read for a purpose at one moment.

    Finding the folders takes system calls, so one checker serves all files of a search.

    Args:
        purpose: What the files are read for.
        folders: The folders that may be read.
        home: Real path of the user's home.
    """

    purpose: Purpose
    folders: tuple[ReadableFolder, ...]
    home: str

    def refusal(self, real: str, status: os.stat_result | None = None) -> Refusal | None:
        """Return why a file may not be read, or None if it may.

        Args:
            real: Its real path.
            status: The status of the open file; without it, owner and hard links are not checked.
        """
        # First of all: the user may have listed the root of the disk.
        if is_system_path(real):
            return Refusal.SYSTEM
        containing = [folder for folder in self.folders if is_inside(real, folder.path)]
        if not containing:
            return Refusal.OUTSIDE
        # A file hidden below one folder may be plain below another: the user may have listed the hidden folder itself.
        visible = [folder for folder in containing if not is_hidden(real, folder.path, self.home)]
        if not visible:
            return Refusal.HIDDEN
        if self.purpose is not Purpose.IMAGE and _KEY_LIKE.match(os.path.basename(real).lower()):
            return Refusal.KEY_LIKE
        if status is not None and all(folder.shared for folder in visible) and not _is_private(status):
            return Refusal.SHARED
        return None

    def folder_refusal(self, real: str) -> Refusal | None:
        """Return why nothing in a folder may be read, or None if something may."""
        # Any name in the folder stands for all: "*" is never hidden nor named like a key.
        return self.refusal(os.path.join(real, "*"))


@dataclass(frozen=True, slots=True)
class ReadRules:
    """What may be read, given settings and environment.

    Args:
        settings: The user's lists of folders.
        environment: Where the process runs and which client asks.
        allowed: Folders allowed at the command line; the list may grow while the server runs.
    """

    settings: ReadSettings
    environment: RuntimeEnvironment
    allowed: AllowedFolders | None = None

    def check_transport(self, requested: str, *, instead: str = _SEND_CONTENT) -> None:
        """Refuse every path of a client that may not name files, before the file system is consulted.

        Args:
            requested: The path as the call gave it.
            instead: What the client can do without a path.

        Raises:
            NotAllowed: The client is on HTTP, and `read.over_http` is off or it presented no token.
        """
        if not self.environment.over_http or (self.settings.over_http and self.environment.has_token):
            return
        why = "without a token" if self.settings.over_http else "(setting read.over_http is off)"
        raise NotAllowed(
            f"{quoted(requested)} is a file path; clients on HTTP may not name files {why}.", next_step=instead
        )

    def folders(self, purpose: Purpose) -> list[str]:
        """Return the real paths of the folders that may be read for a purpose at this moment."""
        return [folder.path for folder in self._readable_folders(purpose)]

    def checker(self, purpose: Purpose) -> PathChecker:
        """Return a checker for many files, with the folders that may be read at this moment."""
        return PathChecker(purpose, tuple(self._readable_folders(purpose)), self.environment.real_home)

    def base_folders(self) -> list[str]:
        """Return the folders that relative paths start from: the client's roots, else the working folder's project."""
        if self.environment.over_http:
            return []
        if self.settings.client_roots and (roots := self.environment.usable_roots()):
            return roots
        if self.settings.working_folder == "never":
            return []
        folder = self.environment.usable_working_folder(needs_project=True)
        return [folder] if folder is not None else []

    def possible_paths(self, text: str) -> list[str]:
        """Return the absolute paths that a path of a call may mean: one, or one in each root for a relative path.

        Raises:
            OllamaMCPError: As `ollama_mcp.access.path_syntax.absolute_path`.
        """
        home, bases = self.environment.home, self.base_folders()
        paths = [absolute_path(text, home, base) for base in bases or [None]]
        # The client's choice must not reveal what exists outside its roots, where `..` may lead.
        inside = [path for path, base in zip(paths, bases, strict=False) if is_inside(path, base)]
        return list(dict.fromkeys(inside or paths[:1]))

    def resolve(self, text: str) -> str:
        """Return the absolute path that a call names. A relative one means the first root in which it exists.

        Raises:
            OllamaMCPError: As `ollama_mcp.access.path_syntax.absolute_path`.
        """
        paths = self.possible_paths(text)
        return next((path for path in paths if os.path.lexists(path)), paths[0])

    def check(self, real: str, purpose: Purpose, *, requested: str, status: os.stat_result | None = None) -> None:
        """Refuse a file that may not be read.

        Args:
            real: The file's real path.
            purpose: What it is to be read for.
            requested: The path as the call gave it, for the error message.
            status: The status of the open file; without it, owner and hard links are not checked.

        Raises:
            FolderNotAllowed: It lies in no folder that may be read.
            NotAllowed: It is hidden, named like a key, shared with another user, or a system file.
        """
        refusal = self.checker(purpose).refusal(real, status)
        if refusal is not None:
            config = str(self.allowed.file) if self.allowed is not None and self.allowed.needs_config_option else ""
            raise _refusal_error(refusal, real, purpose, requested, config)

    def _readable_folders(self, purpose: Purpose) -> Iterator[ReadableFolder]:
        environment, settings = self.environment, self.settings
        listed: list[str] = list(getattr(settings, purpose.setting))
        if environment.over_http:
            # "~" is the default of the list; over HTTP only what the user listed on purpose counts.
            listed = [folder for folder in listed if folder != "~"]
        if self.allowed is not None:
            listed += self.allowed.folders(purpose)
        for folder in listed:
            yield from _existing(environment.expand_home(folder))
        # Roots, the working folder and temporary files count for a client on stdio only.
        if environment.over_http:
            return
        yield from self._session_folders(purpose)
        if purpose is Purpose.IMAGE and settings.temp_images:
            for folder in environment.temp_folders:
                yield from _existing(folder, shared=True)

    def _session_folders(self, purpose: Purpose) -> Iterator[ReadableFolder]:
        """Yield what the user opened by starting this session: the client's roots and the working folder."""
        if self.settings.client_roots:
            yield from map(ReadableFolder, self.environment.usable_roots())
        if self.settings.working_folder == "auto":
            working = self.environment.usable_working_folder(needs_project=purpose is not Purpose.IMAGE)
            if working is not None:
                yield ReadableFolder(working)


def _existing(folder: str, *, shared: bool = False) -> Iterator[ReadableFolder]:
    # By its real path, since the paths that are checked are real ones.
    path = canonical_folder(folder)
    if path is not None:
        yield ReadableFolder(path, shared)


def _is_private(status: os.stat_result) -> bool:
    # In a folder that others can write to, a hard link may give another user's file this path: so its links count too.
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and status.st_nlink == 1)


def _refusal_error(refusal: Refusal, real: str, purpose: Purpose, requested: str, config: str) -> NotAllowed:
    match refusal:
        case Refusal.OUTSIDE:
            return _outside_error(real, purpose, requested, config)
        case Refusal.SYSTEM:
            return NotAllowed(f"{quoted(requested)} leads to a system file (/proc, /sys, /dev); these are never read.")
        case Refusal.HIDDEN:
            return NotAllowed(
                f"{quoted(requested)} is hidden, or in a hidden or program-owned folder; these are not read.",
                next_step="The user can copy it to an ordinary folder, or list exactly the folder that contains it "
                f"(setting read.{purpose.setting}).",
            )
        case Refusal.KEY_LIKE:
            return NotAllowed(
                f"{quoted(requested)} is named like a key or a file of secrets; no setting allows reading these.",
                next_step="Give another file.",
            )
        case Refusal.SHARED:
            return NotAllowed(
                f"{quoted(requested)} is in a shared temporary folder, and belongs to another user or has hard links.",
                next_step="Copy it to a folder of the user's own.",
            )


def _outside_error(real: str, purpose: Purpose, requested: str, config: str) -> FolderNotAllowed:
    folder = os.path.dirname(real)
    # The message must not reveal where a symlink leads.
    is_direct = is_inside(os.path.normpath(requested), folder)
    return FolderNotAllowed(
        f"{quoted(requested)} is outside the folders that may be read for this (setting read.{purpose.setting}).",
        folder=folder,
        purpose=purpose,
        next_step=f"To allow it, the user can run {allow_command(folder if is_direct else 'FOLDER', config)}; "
        "it takes effect at once.",
    )
