"""Commands that a message can name to the user: to run this program again, and to install what it lacks."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from functools import cache
from pathlib import Path

from ollama_mcp._paths import own_checkout

_SCRIPT = "ollama-mcp-server"
_PROJECT = "ollama-mcp-server"


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


def how_to_install(extra: str, *, newest: bool = False) -> str:
    """Return what the user does to install an extra of this project, as a sentence.

    Its packages are named instead of the extra, since these any index has, wherever this project came from.

    Args:
        extra: The extra.
        newest: Whether what is installed of it is too old.
    """
    needed = [shlex.quote(requirement) for requirement in _requirements(extra)]
    environment = Path(sys.prefix)
    if environment.parent.name.startswith("archive-v"):
        # uvx: an environment in uv's cache, which is made anew from the options of the command.
        options = " ".join([*(["--refresh"] if newest else []), *(f"--with {one}" for one in needed)])
        return f"The user can add `{options}` to this server's uvx command."
    return f"The user can run `{_installer(environment, newest=newest)} {' '.join(needed)}`."


def _installer(environment: Path, *, newest: bool) -> str:
    """The command that installs packages into the environment of this process."""
    import importlib.util

    interpreter, upgrade = shlex.quote(sys.executable), " --upgrade" if newest else ""
    if (environment / "pipx_metadata.json").exists() and shutil.which("pipx"):
        return f"pipx inject{' --force' if newest else ''} {_PROJECT}"
    if importlib.util.find_spec("pip") is not None:
        return f"{interpreter} -m pip install{upgrade}"
    # uv's own environments have no pip. It names itself to what it starts, which need not have it on its PATH.
    uv = "uv" if shutil.which("uv") else os.environ.get("UV", "")
    if uv:
        return f"{shlex.quote(uv)} pip install{upgrade} --python {interpreter}"
    return f"{interpreter} -m ensurepip && {interpreter} -m pip install{upgrade}"


def _requirements(extra: str) -> list[str]:
    """The packages of an extra, such as "pypdf>=6"."""
    import importlib.metadata

    try:
        declared = importlib.metadata.requires(_PROJECT) or []
    except importlib.metadata.PackageNotFoundError:
        return _requirements_in_checkout(extra)
    parted = [requirement.partition(";") for requirement in declared]
    return [
        requirement.strip()
        for requirement, _, marker in parted
        if marker.replace(" ", "").replace("'", '"') == f'extra=="{extra}"'
    ]


def _requirements_in_checkout(extra: str) -> list[str]:
    import tomllib

    checkout = own_checkout()
    if checkout is None:
        return []
    with open(checkout / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]["optional-dependencies"][extra]
