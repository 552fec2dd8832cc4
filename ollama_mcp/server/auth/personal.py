"""The settings and the files of each principal: those of the server, narrowed to what it may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ollama_mcp._paths import default_uploads_folder
from ollama_mcp.access import Access, AllowedFolders, ReadRules, RuntimeEnvironment
from ollama_mcp.hosts.recent import RecentDict

if TYPE_CHECKING:
    from ollama_mcp.access.sent_files import SentFiles
    from ollama_mcp.hosts.principal import Principal
    from ollama_mcp.settings import Settings

_MAX_KEPT = 1_000


class PersonalRules:
    """What calls of each principal work with.

    Args:
        settings: The settings of this start.
        allowed: Folders allowed at the command line.
        fetched: Is told of each fetch, as by `Access`.
    """

    def __init__(
        self, settings: Settings, allowed: AllowedFolders, fetched: Callable[[str, int], None] | None = None
    ) -> None:
        self._settings, self._fetched = settings, fetched
        self._allowed = allowed
        self._kept: RecentDict[tuple[str, frozenset[str]], tuple[Settings, Access]] = RecentDict(_MAX_KEPT)

    def of(self, principal: Principal) -> tuple[Settings, Access]:
        """The settings and the access of somebody."""
        # A token of the same name may have other scopes than before; its limits are the same until the next start.
        key = (principal.name, principal.scopes)
        if key not in self._kept:
            settings = _personal(self._settings, principal)
            has_own = settings.read is not self._settings.read
            facts = replace(RuntimeEnvironment.current(), over_http=True, has_token=principal.may("files"))
            rules = ReadRules(settings.read, facts, None if has_own else self._allowed)
            access = Access.from_settings(settings, rules, self._fetched)
            self._kept[key] = settings, replace(access, sent=sent_files_of(settings, principal))
        return self._kept[key]


def sent_files_of(settings: Settings, principal: Principal) -> SentFiles | None:
    """What somebody has sent by POST /files; None where that is not allowed."""
    given = settings.uploads
    if not given.enabled or not principal.may("files"):
        return None
    from ollama_mcp.access.sent_files import SentFiles

    return SentFiles(uploads_folder(settings), principal.name, given.keep_hours * 3_600)


def uploads_folder(settings: Settings) -> str:
    """Where the files that were sent are kept."""
    return os.path.expanduser(settings.uploads.folder) or str(default_uploads_folder())


def _personal(settings: Settings, principal: Principal) -> Settings:
    limits = principal.limits
    own: dict[str, Any] = {}
    if limits.images is not None:
        most = min(limits.images, settings.images.max_count)
        own["images"] = settings.images.model_copy(update={"max_count": most})
    if limits.folders or limits.output_folder:
        folders = dict.fromkeys(("image_folders", "text_folders", "upload_folders"), limits.folders)
        own["read"] = settings.read.model_copy(update={**folders, "over_http": True})
        own["write"] = settings.write.model_copy(
            update={"folders": [limits.output_folder] if limits.output_folder else []}
        )
    return settings.model_copy(update=own) if own else settings
