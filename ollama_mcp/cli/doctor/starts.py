"""Checks that this server starts the way hosts start it: in time, with its tools, and with a clean stdout."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

from ollama_mcp._command import command
from ollama_mcp.cli.doctor.check import Check
from ollama_mcp.cli.install.change import is_there, locate
from ollama_mcp.cli.install.hosts import HOSTS
from ollama_mcp.cli.install.machine import Machine
from ollama_mcp.errors import InvalidArgument, OllamaMCPError

# The patience of Codex; others wait longer, or show no tools until the server is there.
PATIENCE_SECONDS = 10.0
_LIMIT_SECONDS = 60.0
_MAX_LINE_BYTES = 16_000_000
_REQUESTS = (
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "doctor", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
)


async def check_own_start(arguments: Sequence[str]) -> Check:
    """Start this server as a host would, with the options that shape it."""
    from ollama_mcp.cli.demo import import_path

    words = [sys.executable, "-m", "ollama_mcp", "--no-cache", *arguments]
    return await check_start("start", words, {"PYTHONPATH": import_path()})


async def check_hosts(machine: Machine) -> AsyncGenerator[Check]:
    """Start what the configuration of each host names as this server."""
    try:
        # Without a home, no host would be found.
        _ = machine.home
    except InvalidArgument as error:
        yield Check("hosts", error.message, "warning", error.next_step)
        return
    found = False
    for host in HOSTS:
        name = f"host {host.title}"
        try:
            if not is_there(host, machine):
                continue
            target = locate(host, machine)
            entries = target.own_entries()
        except OllamaMCPError as error:
            found = True
            yield Check(name, error.message, "warning", error.next_step)
            continue
        for entry in entries:
            found = True
            yield await check_start(name, host.words(entry), host.variables(entry), where=f" ({target.path})")
    if not found:
        yield Check("hosts", "no configuration of a host that is known here names this server", "ok")


async def check_start(name: str, words: Sequence[str], environment: Mapping[str, str], *, where: str = "") -> Check:
    """Start a command over stdio, list its tools, and look at every line that it writes.

    Args:
        name: What the check is called.
        words: The command with its arguments.
        environment: Variables besides those of this process.
        where: Where the command comes from, for messages.
    """
    fix = "Run the command in a terminal: what it writes to stderr says why."
    began = time.monotonic()
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **environment},
            limit=_MAX_LINE_BYTES,
        )
    except OSError as error:
        found = f"{words[0]} cannot be run{where}: {error.strerror or error}"
        return Check(name, found, "broken", f"Correct the command of this server{where}.")
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            tools, strange = await _list_tools(process)
    except (OSError, ValueError) as error:
        why = "not within 60 s" if isinstance(error, TimeoutError) else str(error)
        return Check(name, f"the server does not list its tools{where}: {why}", "broken", fix)
    finally:
        await _end(process)
    seconds = time.monotonic() - began
    found = f"{tools} tools after {seconds:.1f} s{where}"
    if strange:
        fix = "Remove what prints, such as a print in a tool file or in a script around the server."
        return Check(name, f"{found}; stdout has a line that is no message: {strange!r}", "broken", fix)
    if seconds > PATIENCE_SECONDS:
        fix = f"Run `{command('warm')}` with the options of the host, or raise its start-up time-out."
        return Check(name, f"{found}, for which not every host waits", "warning", fix)
    return Check(name, f"{found}, and stdout is clean")


async def _list_tools(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """The number of tools, and the first line that is no message of the protocol, or "".

    Raises:
        OSError: The command has ended, or takes too long.
        ValueError: Its answer is an error.
    """
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"".join(json.dumps(one).encode() + b"\n" for one in _REQUESTS))
    await process.stdin.drain()
    strange = ""
    while line := await process.stdout.readline():
        message = _message(line)
        if message is None:
            strange = strange or line.decode(errors="replace").strip()[:80] or "(empty)"
        elif message.get("id") == 2:
            if "result" not in message:
                raise ValueError(f"it answers {str(message.get('error'))[:200]}")
            return len(message["result"]["tools"]), strange
    raise OSError(f"it ended with exit code {await process.wait()}")


def _message(line: bytes) -> dict[str, Any] | None:
    try:
        value: Any = json.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) and "jsonrpc" in value else None


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(5):
            # Read on, so that it can write what it has left and end.
            while await process.stdout.read(65_536):
                pass
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
