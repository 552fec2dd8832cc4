"""`ollama-mcp-server install | update | uninstall HOST`: this server in the configuration of MCP hosts."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ollama_mcp.cli.install.change import Done, Target, Wanted, is_there, locate
from ollama_mcp.cli.install.editing import rendered
from ollama_mcp.cli.install.hosts import HOSTS, HostApp
from ollama_mcp.cli.install.launch import own_words
from ollama_mcp.cli.install.machine import Machine
from ollama_mcp.cli.options import load_from_options, to_arguments
from ollama_mcp.errors import InvalidArgument, OllamaMCPError
from ollama_mcp.formats.host_url import normalize_host_url

Act = Callable[[Target], str]

_SENTENCE = "Ask a local model what README.md is about, and quote the lines."
_READY_SECONDS = 600


def install(options: argparse.Namespace) -> int:
    """Add this server to hosts, or bring their entries up to date."""
    machine, chosen = Machine.here(), _chosen(options)
    wanted = _wanted(options)
    if options.print:
        _print(chosen, machine, wanted)
        return 0
    if options.all:
        chosen = [host for host in HOSTS if is_there(host, machine)]
    if not chosen:
        raise _no_host("no host was found" if options.all else "no host is named", machine)
    if not options.dry_run:
        wanted = _with_folders(wanted, options)
        _make_ready(wanted)
    return _each(chosen, options, machine, lambda target: _install(target, wanted, is_dry=options.dry_run))


def update(options: argparse.Namespace) -> int:
    """Bring the entries of hosts that have one to how this server is started now."""
    machine, wanted = Machine.here(), _wanted(options)

    def one(target: Target) -> str:
        if target.read(wanted.name)[1] is None:
            return "" if not options.hosts else f"has no server {wanted.name!r} in {target.path}"
        return _install(target, wanted, is_dry=options.dry_run)

    chosen = _chosen(options) or [host for host in HOSTS if is_there(host, machine)]
    return _each(chosen, options, machine, one)


def uninstall(options: argparse.Namespace) -> int:
    """Remove this server from hosts."""
    machine, chosen = Machine.here(), _chosen(options)
    if options.all:
        chosen = [host for host in HOSTS if is_there(host, machine)]
    if not chosen:
        raise _no_host("no host is named", machine)

    def one(target: Target) -> str:
        done = target.uninstall(options.name, is_dry=options.dry_run)
        if done.verb == "absent":
            return "" if options.all else f"has no server {options.name!r} in {target.path}"
        return _said(done, is_dry=options.dry_run)

    return _each(chosen, options, machine, one)


def _each(chosen: list[HostApp], options: argparse.Namespace, machine: Machine, act: Act) -> int:
    """Act on each host; one that fails does not stop the others."""
    code = 0
    for host in chosen:
        try:
            target = (
                Target(host, machine, Path(os.path.abspath(options.file))) if options.file else locate(host, machine)
            )
            said = act(target)
        except OllamaMCPError as error:
            print(f"{host.title}: {error}", file=sys.stderr)
            code = 1
        else:
            if said:
                print(f"{host.title}: {said}")
    return code


def _install(target: Target, wanted: Wanted, *, is_dry: bool) -> str:
    done = target.plan(wanted) if is_dry else target.install(wanted)
    said = _said(done, is_dry=is_dry)
    if is_dry or done.verb == "unchanged":
        return said
    return f'{said}\n  {target.host.afterwards}, then type: "{_SENTENCE}"'


def _said(done: Done, *, is_dry: bool) -> str:
    if done.verb == "unchanged":
        return f"is up to date in {done.file.path}"
    if is_dry:
        return f"would be {done.verb} in {done.file.path}\n{done.diff()}"
    copy = f"; the file as it was: {done.backup}" if done.backup else ""
    return f"{done.verb} {f'by `{done.through}` ' if done.through else ''}in {done.file.path}{copy}"


def _chosen(options: argparse.Namespace) -> list[HostApp]:
    """The hosts that are named.

    Raises:
        InvalidArgument: A name is none of a host, or --file belongs to no single one.
    """
    known = {host.key: host for host in HOSTS}
    names: list[str] = options.hosts
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name.lower(), known, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise InvalidArgument(
                f"There is no host {name!r}.",
                next_step=f"{hint}Known: {', '.join(known)}; for any other: `install --print`.",
            )
    if options.file and len(names) != 1:
        raise InvalidArgument("--file is one host's file.", next_step="Name one host before it.")
    return [known[name] for name in dict.fromkeys(names)]


def _no_host(why: str, machine: Machine) -> InvalidArgument:
    found = [host.key for host in HOSTS if is_there(host, machine)]
    return InvalidArgument(
        f"Nothing was done: {why}.",
        next_step=f"Found here: {', '.join(found) or 'none'}. Name a host (`install cursor`), or --print what to add.",
    )


def _wanted(options: argparse.Namespace) -> Wanted:
    if "folders" in options:
        # A host starts us in a folder of its own.
        options.folders = [_folder(folder) for folder in options.folders]
    if "config" in options:
        options.config = os.path.abspath(os.path.expanduser(options.config))
    loaded = load_from_options(options)
    host = loaded.settings.host
    wanted = Wanted(own_words(), to_arguments(options), normalize_host_url(host) if host else "", options.name)
    for word in (*wanted.program, *wanted.options, wanted.name):
        if not word.isprintable():
            raise InvalidArgument(f"{word!r} has characters that no configuration file can hold.")
    return wanted


def _folder(folder: str) -> str:
    path = os.path.abspath(os.path.expanduser(folder))
    if not os.path.isdir(path):
        raise InvalidArgument(f"{folder!r} is no folder.", next_step="Name an existing one.")
    return path


def _with_folders(wanted: Wanted, options: argparse.Namespace) -> Wanted:
    """Ask which folders may be read, where there is someone to ask and no option has said so."""
    if wanted.options or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return wanted
    print(
        "Folders whose files local models may read, with ; between them (Enter: those of each project):",
        file=sys.stderr,
    )
    folders = [_folder(one.strip()) for one in sys.stdin.readline().split(";") if one.strip()]
    return Wanted(wanted.program, ["--folders", *folders], wanted.ollama, wanted.name) if folders else wanted


def _make_ready(wanted: Wanted) -> None:
    """Start the server once as hosts will, so that its packages are there and its first answers kept.

    Raises:
        InvalidArgument: It does not start; the message ends in what it said.
    """
    print("Making the server ready; the first time may take a minute.", file=sys.stderr)
    # Without a place to keep answers it serves all the same.
    for command in ("warm", "tools"):
        try:
            done = subprocess.run(
                [*wanted.program, command, *wanted.options],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=_READY_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InvalidArgument(f"{wanted.program[0]!r} cannot be started: {error}.") from None
        if done.returncode == 0:
            return
    said = done.stderr.strip().rpartition("\n")[2]
    raise InvalidArgument(f"The server does not start, so no host was changed. {said[:200]}")


def _print(chosen: list[HostApp], machine: Machine, wanted: Wanted) -> None:
    """What to add by hand: for the hosts named, else for any host that takes the usual JSON."""
    if not chosen:
        launch = wanted.launch(HOSTS[0], None)
        program, *arguments = launch.words
        entry = {"command": program, "args": arguments, "env": launch.variables}
        print(json.dumps({"mcpServers": {wanted.name: entry}}, indent=2, ensure_ascii=False))
    for host in chosen:
        place = host.place(wanted.name)
        print(f"{host.title}: {_shown_path(host, machine)}", file=sys.stderr)
        print(rendered(place, host.entry(wanted.name, wanted.launch(host, None))), end="")


def _shown_path(host: HostApp, machine: Machine) -> str:
    try:
        return str(locate(host, machine).path)
    except InvalidArgument:
        return host.files[-1]
