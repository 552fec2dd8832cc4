"""Where results may be written: the user's folders, less everything that a program obeys or keeps for itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ollama_mcp._paths import shipped, user_config_file
from ollama_mcp.access.handles import canonical_folder
from ollama_mcp.access.hidden import is_hidden
from ollama_mcp.access.rules import AccessRules, real_home, under_home, working_folder
from ollama_mcp.access.spelling import is_system_path
from ollama_mcp.access.surroundings import Surroundings, is_inside
from ollama_mcp.access.wording import quoted
from ollama_mcp.errors import NotAllowed
from ollama_mcp.settings import Settings
from ollama_mcp.settings.access import WriteSettings

OWN_FOLDER = "ollama-mcp"
_LEAVE_OUT = "Leave the output path out; the results are then part of the answer."


@dataclass(frozen=True, slots=True)
class WriteRules:
    """What may be written, beside what `AccessRules` say of home, working folder and transport.

    Args:
        settings: The user's list of folders.
        read_only: Whether nothing is written at all.
        forbidden: Folders whose files a program obeys, such as those of the user's own tools and prompts.
        store: The file of the store, or "". Nothing is written in its folder, unless the user listed that very folder
            (or one below it) for results; the file itself never.
    """

    settings: WriteSettings = field(default_factory=WriteSettings)
    read_only: bool = False
    forbidden: tuple[str, ...] = ()
    store: str = ""

    @classmethod
    def of(cls, settings: Settings) -> WriteRules:
        """Return the rules that the settings of a server give."""
        store = settings.store.path
        return cls(
            settings=settings.write,
            read_only=settings.read_only,
            forbidden=(*settings.tools.folders, *settings.prompts.folders),
            store="" if store == ":memory:" else store or _default_store(),
        )

    def check_asked(self, asked: str, rules: AccessRules) -> None:
        """Refuse any path where nothing is written, or of a client that may not name files.

        Raises:
            NotAllowed: The settings are read-only, or the client is on HTTP and may not.
        """
        if self.read_only:
            raise NotAllowed(f"{quoted(asked)} is not written: setting read_only is on.", next_step=_LEAVE_OUT)
        rules.check_transport(asked, instead=_LEAVE_OUT)

    def folders(self, facts: Surroundings) -> list[str]:
        """Return the real paths of the folders that may be written to, as they are at this moment.

        The user's own come first, then the working folder where it is a project; where there is neither, ~/ollama-mcp,
        which may still have to be made. Over HTTP the user's own only.
        """
        chosen = [canonical_folder(under_home(folder, facts.home)) for folder in self.settings.folders]
        if not facts.over_http and self.settings.working_folder == "auto":
            chosen.append(working_folder(facts, needs_project=True))
        folders = [folder for folder in chosen if folder is not None]
        return folders if folders or facts.over_http else [own_folder(facts)]

    def judge(self, real: str, rules: AccessRules, *, asked: str) -> None:
        """Refuse a place that may not be written to.

        Args:
            real: The file as it will be: the real path of its folder, and its name.
            rules: The rules of the client.
            asked: The path as the call gave it, for the error's text.

        Raises:
            NotAllowed: It is outside the folders for results, hidden, or among files that programs obey or keep.
        """
        facts = rules.facts
        folders = self.folders(facts)
        around = [] if is_system_path(real) else [folder for folder in folders if is_inside(real, folder)]
        if not around:
            raise outside(asked, folders)
        home = real_home(facts)
        around = [folder for folder in around if not is_hidden(real, folder, home)]
        if not around:
            raise NotAllowed(
                f"{quoted(asked)} is hidden, or in a hidden or program-owned folder; these are not written to.",
                next_step=_bare_name(folders),
            )
        if any(is_inside(real, kept) for kept in self._kept(rules)) or self._is_at_store(real, around, facts.home):
            raise NotAllowed(
                f"{quoted(asked)} is among the tools, prompts, settings or data of a program; these are never written "
                "to, by no setting.",
                next_step=_bare_name(folders),
            )

    def _kept(self, rules: AccessRules) -> Iterator[str]:
        """Real paths of what a program obeys: code, prompts and settings, the user's and our own."""
        yield from (_real(under_home(folder, rules.facts.home)) for folder in self.forbidden)
        yield _real(str(Path(__file__).parents[1]))
        yield from (_real(str(shipped(name))) for name in ("tools", "prompts", "config.json"))
        yield _real(str(user_config_file().parent))
        if rules.allowed is not None:
            yield _real(str(rules.allowed.file))

    def _is_at_store(self, real: str, around: list[str], home: str) -> bool:
        if not self.store:
            return False
        file = _real(under_home(self.store, home))
        folder = os.path.dirname(file)
        return real == file or (is_inside(real, folder) and not any(is_inside(chosen, folder) for chosen in around))


def own_folder(facts: Surroundings) -> str:
    """Return the real path of ~/ollama-mcp, whether it exists or not."""
    folder = os.path.join(real_home(facts), OWN_FOLDER)
    return canonical_folder(folder) or folder


def _real(path: str) -> str:
    return canonical_folder(path) or os.path.realpath(path)


def _default_store() -> str:
    from platformdirs import user_data_dir

    return os.path.join(user_data_dir("ollama-mcp-server", appauthor=False), "store.sqlite3")


def outside(asked: str, folders: list[str]) -> NotAllowed:
    """Return the error for a place outside the folders that may be written to."""
    return NotAllowed(
        f"{quoted(asked)} is outside the folders that results may be written to (setting write.folders).",
        next_step=f"{_bare_name(folders)} The user can add other folders to the setting.",
    )


def _bare_name(folders: list[str]) -> str:
    return f"Give a bare file name; it goes to {quoted(folders[0])}." if folders else "No folder is listed there."
