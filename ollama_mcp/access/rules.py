"""Which files may be read, for which purpose: a value made from settings and facts, and the wording of a refusal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ollama_mcp.access.allowed import AllowedFolders
from ollama_mcp.access.handles import canonical_folder
from ollama_mcp.access.hidden import is_hidden
from ollama_mcp.access.judgement import Folder, Judgement, Refusal
from ollama_mcp.access.purpose import Purpose
from ollama_mcp.access.surroundings import Surroundings, is_inside, is_project, is_too_wide
from ollama_mcp.access.wording import allow_command, quoted
from ollama_mcp.errors import NotAllowed
from ollama_mcp.settings.access import ReadSettings

_SEND_CONTENT = "Send the content itself, as base64 or as a data: URI."


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

    def check_transport(self, asked: str, *, instead: str = _SEND_CONTENT) -> None:
        """Refuse any path of a client that may not name files at all, before anything is looked up.

        Args:
            asked: The path as the call gave it.
            instead: What the client can do without a path.

        Raises:
            NotAllowed: The client is on HTTP, and `read.over_http` is off or it showed no token.
        """
        if not self.facts.over_http or (self.settings.over_http and self.facts.has_token):
            return
        why = "without a token" if self.settings.over_http else "(setting read.over_http is off)"
        raise NotAllowed(
            f"{quoted(asked)} is a file; clients on HTTP may not name files {why}.",
            next_step=instead,
        )

    def folders(self, purpose: Purpose) -> list[str]:
        """Return the real paths of the folders that may be read for a purpose, as they are at this moment."""
        return [folder.path for folder in self._folders(purpose)]

    def judgement(self, purpose: Purpose) -> Judgement:
        """Return what may be read for a purpose at this moment, to judge many files by."""
        return Judgement(purpose, tuple(self._folders(purpose)), real_home(self.facts))

    def base(self, purpose: Purpose) -> str | None:
        """Return the folder that relative paths start from: the project worked in where it counts; none for uploads."""
        if purpose is Purpose.UPLOAD or self.facts.over_http or self.settings.working_folder == "never":
            return None
        return working_folder(self.facts, needs_project=True)

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
        refusal = self.judgement(purpose).refusal(real, status)
        if refusal is not None:
            raise _refused(refusal, real, purpose, asked)

    def _folders(self, purpose: Purpose) -> Iterator[Folder]:
        facts, settings = self.facts, self.settings
        named: list[str] = list(getattr(settings, purpose.setting))
        if facts.over_http:
            # Home is the default of the list; over HTTP only what was named on purpose counts.
            named = [folder for folder in named if folder != "~"]
        if self.allowed is not None:
            named += self.allowed.folders(purpose)
        for folder in named:
            yield from _canonical(under_home(folder, facts.home))
        if facts.over_http:
            return
        yield from self._declared(purpose)
        if purpose is Purpose.IMAGE and settings.temp_images:
            for folder in facts.temp_folders:
                yield from _canonical(folder, shared=True)

    def _declared(self, purpose: Purpose) -> Iterator[Folder]:
        home = real_home(self.facts)
        if self.settings.client_roots:
            for root in self.facts.roots:
                yield from (folder for folder in _canonical(root) if not is_too_wide(folder.path, home))
        if self.settings.working_folder == "auto":
            working = working_folder(self.facts, needs_project=purpose is not Purpose.IMAGE)
            if working is not None:
                yield Folder(working)


def real_home(facts: Surroundings) -> str:
    """Return the real path of home, or its name where it cannot be opened."""
    return canonical_folder(facts.home) or facts.home


def under_home(folder: str, home: str) -> str:
    """Return a folder of the settings with `~` replaced by home."""
    if folder == "~" or folder[:2] in ("~/", "~\\"):
        return os.path.join(home, folder[2:])
    return folder


def working_folder(facts: Surroundings, *, needs_project: bool) -> str | None:
    """Return the real path of the folder the server was started in, where it counts as a choice of the user's."""
    home = real_home(facts)
    folder = canonical_folder(facts.working_folder)
    if folder is None or is_too_wide(folder, home) or (is_inside(folder, home) and is_hidden(folder, home, home)):
        return None
    return folder if not needs_project or is_project(folder, home) else None


def _canonical(folder: str, *, shared: bool = False) -> Iterator[Folder]:
    path = canonical_folder(folder)
    if path is not None:
        yield Folder(path, shared)


def _refused(refusal: Refusal, real: str, purpose: Purpose, asked: str) -> NotAllowed:
    match refusal:
        case Refusal.OUTSIDE:
            return _outside(real, purpose, asked)
        case Refusal.SYSTEM:
            return NotAllowed(f"{quoted(asked)} leads to the system's own files, which are never read.")
        case Refusal.HIDDEN:
            return NotAllowed(
                f"{quoted(asked)} is hidden, or in a hidden or program-owned folder; these are not read.",
                next_step="The user can copy it to an ordinary folder, or allow exactly the folder it is in "
                f"(setting read.{purpose.setting}).",
            )
        case Refusal.KEY_LIKE:
            return NotAllowed(
                f"{quoted(asked)} is named like a key or a file of secrets; these are never read, by no setting.",
                next_step="Give another file.",
            )
        case Refusal.SHARED:
            return NotAllowed(
                f"{quoted(asked)} is in a shared temporary folder and belongs to another user, or has several names.",
                next_step="Copy it to a folder of the user's own.",
            )


def _outside(real: str, purpose: Purpose, asked: str) -> FolderNotAllowed:
    folder = os.path.dirname(real)
    # Where a symlink led elsewhere, the message must not tell where.
    direct = is_inside(os.path.normpath(asked), folder)
    return FolderNotAllowed(
        f"{quoted(asked)} is outside the folders that may be read for this (setting read.{purpose.setting}).",
        folder=folder,
        purpose=purpose,
        next_step=f"If the user wants it read, the user can run {allow_command(folder if direct else 'FOLDER')}; "
        "it counts at once.",
    )
