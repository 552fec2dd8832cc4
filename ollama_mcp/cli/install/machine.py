"""The machine that hosts are looked for on: its system, its variables, its user's folders."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ollama_mcp.errors import InvalidArgument


@dataclass(frozen=True)
class Machine:
    """What decides where hosts keep their files.

    Args:
        system: As `sys.platform` names it: "linux", "darwin" or "win32".
        variables: The environment.
    """

    system: str
    variables: Mapping[str, str]

    @classmethod
    def here(cls) -> Machine:
        """The machine of this process."""
        return cls(sys.platform, os.environ)

    @property
    def home(self) -> Path:
        """The user's home.

        Raises:
            InvalidArgument: There is none.
        """
        name = "USERPROFILE" if self.system == "win32" else "HOME"
        home = self.variables.get(name, "")
        if not home or not os.path.isabs(home) or not os.path.isdir(home):
            raise InvalidArgument(
                f"There is no home folder: {name} is {home!r}.", next_step=f"Set {name}, or name the host's --file."
            )
        return Path(home)

    def find(self, pattern: str) -> list[Path]:
        """The folders or files that a pattern of a host's table stands for; those of `*` only where they exist.

        A pattern begins with one of {home}, {config} (where this system's applications keep their settings), {xdg}
        (`~/.config`, on Windows {config}), {local} (Windows only), or a variable such as {CODEX_HOME}, and stands for
        nothing where this system or the variable is not there.
        """
        start, _, rest = pattern.removeprefix("{").partition("}")
        base = self._base(start)
        if base is None:
            return []
        path = os.path.join(glob.escape(base), *rest.split("/"))
        return (
            sorted(Path(one) for one in glob.glob(path)) if "*" in rest else [Path(base, *rest.strip("/").split("/"))]
        )

    def program(self, name: str) -> str | None:
        """The absolute path of a program on PATH."""
        return shutil.which(name, path=self.variables.get("PATH", ""))

    def _base(self, name: str) -> str | None:
        is_windows = self.system == "win32"
        roaming = self.variables.get("APPDATA") or (str(self.home / "AppData" / "Roaming") if is_windows else "")
        xdg = roaming if is_windows else self.variables.get("XDG_CONFIG_HOME") or str(self.home / ".config")
        match name:
            case "home":
                return str(self.home)
            case "config" if self.system == "darwin":
                return str(self.home / "Library" / "Application Support")
            case "config" | "xdg":
                return xdg
            case "local":
                return (
                    (self.variables.get("LOCALAPPDATA") or str(self.home / "AppData" / "Local")) if is_windows else None
                )
            case _:
                return self.variables.get(name) or None
