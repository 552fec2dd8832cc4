"""Folders that become readable while the server runs: by the user's yes to a form, or as roots of the client."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mcp.shared.exceptions import MCPError
from mcp.types import ListRootsRequest, ListRootsResult

from ollama_mcp.access import AllowedFolders, FolderNotAllowed, Purpose, path_of_file_uri
from ollama_mcp.access.descriptors import canonical_folder
from ollama_mcp.access.folders import is_inside
from ollama_mcp.errors import NotAllowed, OllamaMCPError
from ollama_mcp.server.elicitation import UserQuestion

if TYPE_CHECKING:
    from ollama_mcp.server.caller import RequestContext

_ROOTS_TIMEOUT_SECONDS = 5.0
_MAX_SHOWN_CHARS = 400
_PURPOSES = {
    Purpose.IMAGE: "reading images",
    Purpose.TEXT: "reading text files",
    Purpose.UPLOAD: "uploading model files",
}


class GrantedFolders(AllowedFolders):
    """The folders of the allow file, and those that the user opened by a form.

    A folder opened by a form stays open until the process ends. A click during an agent's work must not permanently
    widen what programs may read; for that there is the command line.

    Args:
        file: The allow file.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._granted: dict[Purpose, tuple[str, ...]] = {}
        self._refused: set[tuple[Purpose, str]] = set()

    def folders(self, purpose: Purpose) -> tuple[str, ...]:
        """The folders that are allowed for a purpose now."""
        return (*super().folders(purpose), *self._granted.get(purpose, ()))

    def permission_question(self, error: NotAllowed) -> UserQuestion | None:
        """The question whether to open the folder that a tool was refused; None where it must not be asked."""
        if not isinstance(error, FolderNotAllowed):
            return None
        folder, purpose = error.folder, error.purpose
        # The whole disk is too much to open by a click, and a path that the form would cut could mislead the user.
        is_unsuitable = os.path.dirname(folder) == folder or len(folder) > _MAX_SHOWN_CHARS
        # Inside an allowed folder the refusal has another reason (a hidden file, for one), which a yes cannot remove.
        is_allowed = any(is_inside(folder, canonical_folder(each) or each) for each in self.folders(purpose))
        if is_unsuitable or is_allowed or (purpose, folder) in self._refused:
            return None

        def accept() -> None:
            self._granted[purpose] = (*self._granted.get(purpose, ()), folder)

        return UserQuestion(
            key=f"folder {purpose.name} {folder}",
            consequence=f"This allows {_PURPOSES[purpose]} in the folder {folder} and all below it, until the server "
            "ends.",
            question="Allow it?",
            refusal=lambda _: error,
            accept=accept,
            decline=lambda: self._refused.add((purpose, folder)),
        )


async def client_roots(context: RequestContext | None) -> tuple[str, ...]:
    """Paths of the client's roots; empty where it declares none, cannot be asked, or does not answer within 5 s.

    Clients of protocol 2026-07-28 cannot be asked: the capability is deprecated there.
    """
    capabilities = context.session.client_capabilities if context is not None else None
    if context is None or capabilities is None or capabilities.roots is None or not context.session.can_send_request:
        return ()
    try:
        async with asyncio.timeout(_ROOTS_TIMEOUT_SECONDS):
            answer = await context.session.send_request(ListRootsRequest(), ListRootsResult)
    except (MCPError, TimeoutError):
        return ()
    return tuple(path for root in answer.roots if (path := _path_or_empty(str(root.uri))))


def _path_or_empty(uri: str) -> str:
    try:
        return path_of_file_uri(uri)
    except OllamaMCPError:
        # A root that is not a local file: URI opens nothing, and must not invalidate the other roots.
        return ""
