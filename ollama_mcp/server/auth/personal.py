"""The settings and the files of each principal: those of the server, narrowed to what it may use."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ollama_mcp._paths import default_uploads_folder
from ollama_mcp.access import Access, AllowedFolders, ReadRules, RuntimeEnvironment
from ollama_mcp.access.path_syntax import is_device_name
from ollama_mcp.hosts.recent import RecentDict

if TYPE_CHECKING:
    from ollama_mcp.access.sent_files import SentFiles
    from ollama_mcp.hosts.principal import Principal
    from ollama_mcp.settings import Settings

_MAX_KEPT = 1_000
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_-]")


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
            facts = replace(RuntimeEnvironment.current(), over_http=True, has_token=principal.may("files"))
            rules = ReadRules(settings.read, facts, None if principal.limits.folders else self._allowed)
            access = Access.from_settings(settings, rules, self._fetched)
            # A folder that is named for this very principal is its own already.
            own = self._settings.principals.get(principal.name)
            is_named = own is not None and bool(own.output_folder)
            write_rules = replace(access.write_rules, own_name="" if is_named else own_folder_name(principal.name))
            sent = sent_files_of(settings, principal)
            self._kept[key] = settings, replace(access, write_rules=write_rules, sent=sent)
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


def own_folder_name(name: str) -> str:
    """The name of somebody's own folder: theirs, or where file systems may take it for another, with its digest."""
    if _PLAIN.fullmatch(name) and not is_device_name(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_NOT_PLAIN.sub('_', name)[:40].strip('._') or 'token'}+{digest[:16]}"


def _personal(settings: Settings, principal: Principal) -> Settings:
    limits = principal.limits
    own: dict[str, Any] = {}
    if limits.images is not None:
        most = min(limits.images, settings.images.max_count)
        own["images"] = settings.images.model_copy(update={"max_count": most})
    if limits.folders or limits.output_folder:
        # Whose results have a folder may name that one, and no other by it.
        folders = limits.folders or ([] if not settings.read.over_http else None)
        lists = {} if folders is None else dict.fromkeys(("image_folders", "text_folders", "upload_folders"), folders)
        own["read"] = settings.read.model_copy(update={**lists, "over_http": True})
    if limits.output_folder:
        own["write"] = settings.write.model_copy(update={"folders": [limits.output_folder]})
    return settings.model_copy(update=own) if own else settings
