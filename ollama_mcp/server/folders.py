"""Folders that the user opened by a form, for as long as this process runs."""

from __future__ import annotations

import os
from pathlib import Path

from ollama_mcp.access import AllowedFolders, FolderNotAllowed, Purpose
from ollama_mcp.access.handles import canonical_folder
from ollama_mcp.access.surroundings import is_inside
from ollama_mcp.errors import NotAllowed
from ollama_mcp.server.forms import Question

_LONGEST_SHOWN = 400
_WORDS = {Purpose.IMAGE: "reading images", Purpose.TEXT: "reading text files", Purpose.UPLOAD: "uploading model files"}


class GrantedFolders(AllowedFolders):
    """The folders of the file, and those that a form opened.

    What a form opened ends with the process: a click beside an agent's work must not widen for good what programs may
    read. For good there is the command line.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._granted: dict[Purpose, tuple[str, ...]] = {}
        self._refused: set[tuple[Purpose, str]] = set()

    def folders(self, purpose: Purpose) -> tuple[str, ...]:
        """Return the folders that are allowed for a purpose at this moment."""
        return (*super().folders(purpose), *self._granted.get(purpose, ()))

    def question(self, error: NotAllowed) -> Question | None:
        """The form for the folder that a tool was refused; None where it is not to be asked for (again)."""
        if not isinstance(error, FolderNotAllowed):
            return None
        folder, purpose = error.folder, error.purpose
        # The user must see the whole of what is asked for.
        is_too_much = os.path.dirname(folder) == folder or len(folder) > _LONGEST_SHOWN
        # A folder of an allowed one is refused for another reason than its place.
        known = any(is_inside(folder, canonical_folder(each) or each) for each in self.folders(purpose))
        if is_too_much or known or (purpose, folder) in self._refused:
            return None

        def accept() -> None:
            self._granted[purpose] = (*self._granted.get(purpose, ()), folder)

        return Question(
            key=f"folder {purpose.name} {folder}",
            message=f"This allows {_WORDS[purpose]} in the folder {folder} and all below it, until the server ends.",
            label="Yes, allow it",
            refusal=error,
            accept=accept,
            decline=lambda: self._refused.add((purpose, folder)),
        )
