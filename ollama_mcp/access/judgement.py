"""The judgement of real paths by the folders of one purpose, as they are at one moment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import translate

from ollama_mcp.access.hidden import is_hidden
from ollama_mcp.access.purpose import Purpose
from ollama_mcp.access.spelling import is_system_path
from ollama_mcp.access.surroundings import is_inside

_KEYS = ("*.pem", "*.key", "*.kdbx", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.gpg")
KEY_LIKE_NAMES = (".env*", "*.env", "id_*", "credentials*", *_KEYS)
_KEY_LIKE = re.compile("|".join(map(translate, KEY_LIKE_NAMES)))


class Refusal(StrEnum):
    """Why a file may not be read, in words that stand behind a count."""

    SYSTEM = "of the system"
    OUTSIDE = "leading out of the folders that may be read"
    HIDDEN = "hidden or program-owned"
    KEY_LIKE = "named like a key"
    SHARED = "shared with other users"


@dataclass(frozen=True, slots=True)
class Folder:
    """An allowed folder.

    Args:
        path: Its real path.
        shared: Whether other users of the machine write to it too.
    """

    path: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What may be read for a purpose; for many files at once, since finding the folders takes system calls.

    Args:
        purpose: What the files are read for.
        folders: The allowed folders.
        home: Real path of the user's home.
    """

    purpose: Purpose
    folders: tuple[Folder, ...]
    home: str

    def refusal(self, real: str, status: os.stat_result | None = None) -> Refusal | None:
        """Return why a file may not be read, or None where it may.

        Args:
            real: Its real path.
            status: The open file's status; without it, what depends on owner and links is left open.
        """
        if is_system_path(real):
            return Refusal.SYSTEM
        around = [folder for folder in self.folders if is_inside(real, folder.path)]
        if not around:
            return Refusal.OUTSIDE
        open_ones = [folder for folder in around if not is_hidden(real, folder.path, self.home)]
        if not open_ones:
            return Refusal.HIDDEN
        if self.purpose is not Purpose.IMAGE and _KEY_LIKE.match(os.path.basename(real).lower()):
            return Refusal.KEY_LIKE
        if status is not None and all(folder.shared for folder in open_ones) and not _is_ours_alone(status):
            return Refusal.SHARED
        return None

    def folder_refusal(self, real: str) -> Refusal | None:
        """Return why nothing in a folder may be read, or None; names like keys are a matter of files."""
        return self.refusal(os.path.join(real, "*"))


def _is_ours_alone(status: os.stat_result) -> bool:
    # In a folder that others write to, a hard link gives another file this path: the links of a file count too.
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and status.st_nlink == 1)
