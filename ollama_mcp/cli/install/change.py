"""What is done to a host's configuration: found, planned, and carried out."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ollama_mcp.cli.install import own_command
from ollama_mcp.cli.install.editing import EditError, Entry
from ollama_mcp.cli.install.files import ConfigFile
from ollama_mcp.cli.install.hosts import HostApp, Launch
from ollama_mcp.cli.install.launch import options_of, with_packages_of
from ollama_mcp.cli.install.machine import Machine
from ollama_mcp.errors import DiskError, InvalidArgument

Verb = Literal["added", "changed", "removed", "unchanged", "absent"]
_HOST_VARIABLE = "OLLAMA_HOST"
_DEFAULT_HOST = "http://127.0.0.1:11434"


@dataclass(frozen=True)
class Wanted:
    """The server that hosts are to start.

    Args:
        program: Its words without options.
        options: Its options; empty keeps those that an entry has.
        ollama: Address of Ollama; "" keeps that of an entry.
        name: Name of the entry.
    """

    program: list[str]
    options: list[str]
    ollama: str
    name: str

    def launch(self, host: HostApp, old: Entry | None) -> Launch:
        """What the host is to start in place of an old entry."""
        words = host.words(old or {})
        options = self.options or options_of(words) or []
        kept = host.variables(old or {}).get(_HOST_VARIABLE)
        return Launch(
            [*with_packages_of(words, self.program), *options], {_HOST_VARIABLE: self.ollama or kept or _DEFAULT_HOST}
        )


@dataclass(frozen=True)
class Target:
    """A host on this machine.

    Args:
        host: The host.
        machine: The machine.
        path: Its configuration file.
    """

    host: HostApp
    machine: Machine
    path: Path

    def read(self, name: str) -> tuple[ConfigFile, Entry | None]:
        """The file, and the entry of this name in it.

        Raises:
            DiskError: The file cannot be read or parsed.
            InvalidArgument: The entry starts something else.
        """
        file = ConfigFile.read(self.path)
        try:
            old = self.host.place(name).find(file.text)
        except EditError as error:
            raise self._broken(error) from None
        if old is not None and options_of(self.host.words(old)) is None:
            words = " ".join(self.host.words(old)) or "no command"
            raise InvalidArgument(
                f"{name!r} in {str(self.path)!r} is another server's ({words[:80]}).",
                next_step="Remove it there, or choose another --name.",
            )
        return file, old

    def own_entries(self) -> list[Entry]:
        """The entries that start this server, whatever their names.

        Raises:
            DiskError: The file cannot be read or parsed.
        """
        try:
            entries = self.host.place("").find_all(ConfigFile.read(self.path).text)
        except EditError as error:
            raise self._broken(error) from None
        return [one for one in entries if options_of(self.host.words(one)) is not None]

    def install(self, wanted: Wanted) -> Done:
        """Add the server, or bring its entry up to date.

        Raises:
            DiskError: The file cannot be read, parsed or written; nothing was changed.
            InvalidArgument: The name is another server's.
        """
        plan = self.plan(wanted)
        if plan.verb == "unchanged":
            return plan
        through = ""
        if plan.verb == "added" and self.host.own_command:
            plan.file.check_writable()
            backup = plan.file.keep()
            through = own_command.add(self.host, self.machine, wanted.name, wanted.launch(self.host, None))
            if through:
                rest = self.plan(wanted)
                if rest.text is not None:
                    rest.file.replace(rest.text, is_kept=True)
                return Done("added", plan.file, plan.text, backup, through)
        return self._write(plan)

    def plan(self, wanted: Wanted) -> Done:
        """What `install` would do; raises as it does."""
        file, old = self.read(wanted.name)
        entry = self.host.entry(wanted.name, wanted.launch(self.host, old), old)
        if entry == old:
            return Done("unchanged", file)
        try:
            return Done("changed" if old else "added", file, self.host.place(wanted.name).set(file.text, entry))
        except EditError as error:
            raise self._broken(error) from None

    def uninstall(self, name: str, *, is_dry: bool = False) -> Done:
        """Remove the server; raises as `install` does."""
        file, old = self.read(name)
        if old is None:
            return Done("absent", file)
        try:
            plan = Done("removed", file, self.host.place(name).remove(file.text))
        except EditError as error:
            raise self._broken(error) from None
        if is_dry:
            return plan
        if self.host.own_command:
            file.check_writable()
            backup = file.keep()
            through = own_command.remove(self.host, self.machine, name)
            if through and self.read(name)[1] is None:
                return Done("removed", file, plan.text, backup, through)
        return self._write(plan)

    def _write(self, plan: Done) -> Done:
        return Done(plan.verb, plan.file, plan.text, plan.file.replace(plan.text or ""))

    def _broken(self, error: EditError) -> DiskError:
        return DiskError(
            f"{str(self.path)!r} is left as it is: {error}.",
            next_step=f"Mend it, or see `install {self.host.key} --print`.",
        )


@dataclass(frozen=True)
class Done:
    """What was done, or would be.

    Args:
        verb: What.
        file: The file as it was before.
        text: The file's new text; None for the old one.
        backup: The copy of the old one.
        through: The host's own command that did it.
    """

    verb: Verb
    file: ConfigFile
    text: str | None = None
    backup: Path | None = None
    through: str = ""

    def diff(self) -> str:
        """The lines that change, and no other: the file may hold the keys of other servers."""
        before, after = self.file.text.splitlines(), (self.text or "").splitlines()
        lines = difflib.unified_diff(before, after, str(self.file.path), str(self.file.path), n=0, lineterm="")
        return "\n".join(lines)


def locate(host: HostApp, machine: Machine) -> Target:
    """Where a host keeps its servers on this machine.

    Raises:
        InvalidArgument: It is not there, or in several places.
    """
    if not is_there(host, machine):
        looked = _candidates(host, machine)
        program = f", nor the program {host.program!r}" if host.program else ""
        raise InvalidArgument(
            f"{host.title} was not found: there is no {str(looked[-1].parent)!r}{program}.",
            next_step=f"Start it once, or see `install {host.key} --print`.",
        )
    for pattern in host.files:
        paths = machine.find(pattern)
        folders = [path for path in paths if path.parent.is_dir()] or (paths if pattern.startswith(_OWN_HOME) else [])
        if "*" in pattern:
            # The file itself need not exist yet, but the folder does.
            folders = [one / Path(pattern).name for one in machine.find(pattern.rpartition("/")[0])]
        if len(folders) > 1:
            raise InvalidArgument(
                f"{host.title} is there {len(folders)} times: {', '.join(map(str, folders))}.",
                next_step="Name one of them by --file.",
            )
        if folders:
            beside = [path for path in _candidates(host, machine) if path.parent == folders[0].parent]
            return Target(host, machine, next((path for path in beside if path.exists()), folders[0]))
    return Target(host, machine, _candidates(host, machine)[0])


_OWN_HOME = ("{CODEX_HOME}", "{CLAUDE_CONFIG_DIR}")


def is_there(host: HostApp, machine: Machine) -> bool:
    """Whether a host is installed on this machine, as far as can be seen."""
    marks = [path for pattern in host.marks for path in machine.find(pattern)]
    folders = [pattern.rpartition("/")[0] for pattern in host.files]
    marks += [path for folder in folders if folder != "{home}" for path in machine.find(folder)]
    return any(path.exists() for path in marks) or bool(host.program and machine.program(host.program))


def _candidates(host: HostApp, machine: Machine) -> list[Path]:
    return [path for pattern in host.files if "*" not in pattern for path in machine.find(pattern)]
