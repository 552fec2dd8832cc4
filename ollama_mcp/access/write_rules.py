"""Where results may be written, and under which file names.

Results go to the user's folders, except for everything that a program obeys or keeps for itself: text that a model
wrote must not become configuration, code or instructions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ollama_mcp._paths import default_store_file, shipped_path, user_config_file
from ollama_mcp.access.descriptors import canonical_folder
from ollama_mcp.access.environment import RuntimeEnvironment
from ollama_mcp.access.folders import is_hidden, is_inside
from ollama_mcp.access.path_syntax import has_control_characters, is_device_name, is_system_path
from ollama_mcp.access.quoting import quoted
from ollama_mcp.access.read_rules import PathChecker, Purpose, ReadableFolder, ReadRules
from ollama_mcp.errors import InvalidArgument, NotAllowed
from ollama_mcp.settings import Settings
from ollama_mcp.settings.access import WriteSettings

DEFAULT_FOLDER = "ollama-mcp"
OUTPUT_SUFFIXES = frozenset({".json", ".jsonl", ".csv", ".npy", ".md", ".txt", ".html"})
# What agents, editors and build tools obey in whichever folder it lies.
INSTRUCTION_FILES = frozenset(
    {"agents.md", "claude.md", "claude.local.md", "gemini.md", "skill.md", "copilot-instructions.md", "conventions.md"}
    | {"mcp.json", "package.json", "package-lock.json", "tsconfig.json", "jsconfig.json", "composer.json"}
    | {"deno.json", "turbo.json", "vercel.json", "angular.json", "devcontainer.json", "settings.json", "tasks.json"}
    | {"launch.json", "config.json", "requirements.txt", "constraints.txt", "cmakelists.txt", "robots.txt"}
)
# NAME_MAX of Linux, which counts bytes and not characters.
_MAX_NAME_BYTES = 255
_OMIT_PATH = "Omit the output path; the results are then part of the answer."


@dataclass(frozen=True, slots=True)
class WriteRules:
    """What may be written. `ReadRules` add what holds of home, working folder and transport.

    Args:
        settings: The user's list of folders.
        read_only: Whether nothing is written at all.
        protected_folders: Folders whose files a program obeys, such as those of the user's own tools and prompts.
        store_file: The file of the store, or "". It is never written to. Its folder is not either, unless the user
            listed that very folder (or one below it) for results.
        own_name: Name of the client's own folder in each folder of the settings, which is made when it is needed; "":
            the folders of the settings themselves.
    """

    settings: WriteSettings = field(default_factory=WriteSettings)
    read_only: bool = False
    protected_folders: tuple[str, ...] = ()
    store_file: str = ""
    own_name: str = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> WriteRules:
        """Return the rules that the settings of a server give."""
        store = settings.store.path
        return cls(
            settings=settings.write,
            read_only=settings.read_only,
            protected_folders=(*settings.tools.folders, *settings.prompts.folders),
            store_file="" if store == ":memory:" else store or str(default_store_file()),
        )

    def check_enabled(self, requested: str, rules: ReadRules) -> None:
        """Refuse every path while nothing may be written, or if the client may not name files.

        Raises:
            NotAllowed: The settings are read-only, or the client is on HTTP and may not name files.
        """
        if self.read_only:
            raise NotAllowed(f"{quoted(requested)} is not written: setting read_only is on.", next_step=_OMIT_PATH)
        rules.check_transport(requested, instead=_OMIT_PATH)

    def folders(self, environment: RuntimeEnvironment) -> list[str]:
        """Return the real paths of the folders that may be written to at this moment.

        The user's own come first, then the client's roots, then the working folder if it is a project. If there is
        none of them, the only one is ~/ollama-mcp, which may not exist yet. Over HTTP only the user's own count.
        """
        found = [self._own(canonical_folder(environment.expand_home(folder))) for folder in self.settings.folders]
        if not environment.over_http and self.settings.working_folder == "auto":
            home = environment.real_home
            found += [root for root in environment.usable_roots() if not is_hidden(root, home, home)]
            found.append(environment.usable_working_folder(needs_project=True))
        folders = [folder for folder in found if folder is not None]
        return folders if folders or environment.over_http else [default_folder(environment)]

    def _own(self, folder: str | None) -> str | None:
        if folder is None or not self.own_name:
            return folder
        own = os.path.join(folder, self.own_name)
        with suppress(OSError):
            os.mkdir(own, 0o700)
        # Not where a link leads.
        return own if canonical_folder(own) == own else None

    def checker(self, rules: ReadRules) -> PathChecker:
        """Return a checker of the folders below which results may be written, hidden ones excepted."""
        folders = tuple(map(ReadableFolder, self.folders(rules.environment)))
        return PathChecker(Purpose.TEXT, folders, rules.environment.real_home)

    def check(self, real: str, rules: ReadRules, *, requested: str) -> None:
        """Refuse a file that may not be written.

        Args:
            real: The file as it will be: the real path of its folder, and its name.
            rules: The rules of the client.
            requested: The path as the call gave it, for the error message.

        Raises:
            NotAllowed: It is outside the folders for results, hidden, or among files that programs obey or keep.
        """
        environment = rules.environment
        folders = self.folders(environment)
        # No system path, even if the user listed the root of the disk.
        containing = [] if is_system_path(real) else [folder for folder in folders if is_inside(real, folder)]
        if not containing:
            raise outside_error(requested, folders)
        home = environment.real_home
        visible = [folder for folder in containing if not is_hidden(real, folder, home)]
        if not visible:
            raise NotAllowed(
                f"{quoted(requested)} is hidden, or in a hidden or program-owned folder; these are not written to.",
                next_step=_use_bare_name(folders),
            )
        is_protected = any(is_inside(real, path) for path in self._protected_paths(rules))
        if is_protected or self._is_store_path(real, visible, environment):
            raise NotAllowed(
                f"{quoted(requested)} is among the tools, prompts, settings or data of a program; no setting allows "
                "writing there.",
                next_step=_use_bare_name(folders),
            )

    def _protected_paths(self, rules: ReadRules) -> Iterator[str]:
        """Yield the real paths of what a program obeys: code, prompts and settings, the user's and our own."""
        yield from (_real_path(rules.environment.expand_home(folder)) for folder in self.protected_folders)
        # This package itself, wherever it is installed.
        yield _real_path(str(Path(__file__).parents[1]))
        yield from (_real_path(str(shipped_path(name))) for name in ("tools", "prompts", "skills", "config.json"))
        yield _real_path(str(user_config_file().parent))
        if rules.allowed is not None:
            yield _real_path(str(rules.allowed.file))

    def _is_store_path(self, real: str, containing: list[str], environment: RuntimeEnvironment) -> bool:
        if not self.store_file:
            return False
        file = _real_path(environment.expand_home(self.store_file))
        folder = os.path.dirname(file)
        # The store lies in a folder of data; a user who lists this very folder has chosen it for results.
        is_chosen = any(is_inside(chosen, folder) for chosen in containing)
        return real == file or (is_inside(real, folder) and not is_chosen)


def default_folder(environment: RuntimeEnvironment) -> str:
    """Return the real path of ~/ollama-mcp, whether it exists or not."""
    folder = os.path.join(environment.real_home, DEFAULT_FOLDER)
    return canonical_folder(folder) or folder


def outside_error(requested: str, folders: list[str]) -> NotAllowed:
    """Return the error for a path outside the folders that may be written to."""
    return NotAllowed(
        f"{quoted(requested)} is outside the folders that results may be written to (setting write.folders).",
        next_step=f"{_use_bare_name(folders)} The user can add other folders to the setting.",
    )


def check_output_name(text: str, suffixes: Sequence[str]) -> None:
    """Refuse an output path by its text.

    Args:
        text: The path as the call gave it.
        suffixes: Endings that it may have; only those in `OUTPUT_SUFFIXES` count.

    Raises:
        InvalidArgument: It has another ending, or a part of it is too long, has control characters, or is the name of a
            device or an alternate data stream on Windows.
        NotAllowed: Agents, editors or build tools obey files of that name.
    """
    if has_control_characters(text):
        raise InvalidArgument(f"The path {quoted(text)} has control characters.", next_step="Give an ordinary name.")
    parts = text.strip().replace("\\", "/").split("/")
    if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in parts):
        raise InvalidArgument(
            f"A name in {quoted(text)} is longer than {_MAX_NAME_BYTES} bytes.", next_step="Give a shorter one."
        )
    # Refused on every system: the file may be used on another one later.
    if ":" in parts[-1] or any(is_device_name(part) for part in parts):
        raise InvalidArgument(
            f"{quoted(text)} is a device or an alternate data stream on Windows.",
            next_step="Give a name without ':' that is not a device name.",
        )
    # Case-folded as macOS compares names: it takes "agent\u017f.md" for "agents.md".
    if parts[-1].casefold() in INSTRUCTION_FILES:
        raise NotAllowed(
            f"{quoted(text)} is a name that agents or build tools obey; no setting allows writing results under it.",
            next_step="Give another name.",
        )
    # A tool chooses among the fixed endings and cannot add one.
    endings = [suffix for suffix in suffixes if suffix in OUTPUT_SUFFIXES]
    if os.path.splitext(parts[-1])[1].lower() not in endings:
        raise InvalidArgument(
            f"{quoted(text)} is not a valid name for these results: it must end in {' or '.join(endings)}.",
            next_step="Give a path with such an ending.",
        )


def _real_path(path: str) -> str:
    # In the form that descriptors give, for comparison; a file or a missing folder has only `realpath`.
    return canonical_folder(path) or os.path.realpath(path)


def _use_bare_name(folders: list[str]) -> str:
    return f"Give a bare file name; it goes to {quoted(folders[0])}." if folders else "No folder is listed there."
