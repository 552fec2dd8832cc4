"""The command that runs this program again, as a message can name it to the user."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from functools import cache

from ollama_mcp._paths import own_checkout

_SCRIPT = "ollama-mcp-server"


def command(arguments: str) -> str:
    """Return the command line that runs this program with these arguments, for a user in any folder."""
    return f"{_prefix()} {arguments}"


@cache
def _prefix() -> str:
    scripts = sysconfig.get_path("scripts")
    if _is_on_path(scripts):
        return _SCRIPT
    # By its absolute path: a host, `uv run` and uvx put folders on PATH that the user's terminal does not have.
    script = shutil.which(_SCRIPT, path=scripts)
    if script is not None:
        return shlex.quote(script)
    interpreter = shlex.quote(sys.executable)
    checkout = own_checkout()
    if checkout is None:
        return f"{interpreter} -m ollama_mcp"
    return f"{interpreter} {shlex.quote(str(checkout / 'ollama_mcp_server.py'))}"


def _is_on_path(scripts: str) -> bool:
    """Whether a terminal of the user finds the script by its name, and it is the one of this installation."""
    # The folder of a virtual environment is on PATH for good only where the user's own shell activated it.
    is_borrowed = sys.prefix != sys.base_prefix and (
        "UV_RUN_RECURSION_DEPTH" in os.environ or os.environ.get("VIRTUAL_ENV") != sys.prefix
    )
    folders = [folder for folder in os.get_exec_path() if not is_borrowed or not _same(folder, scripts)]
    found = shutil.which(_SCRIPT, path=os.pathsep.join(folders))
    return found is not None and _same(os.path.dirname(os.path.realpath(found)), scripts)


def _same(folder: str, other: str) -> bool:
    return os.path.realpath(folder) == os.path.realpath(other)
