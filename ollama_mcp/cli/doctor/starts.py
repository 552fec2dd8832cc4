"""Checks that this server starts the way hosts start it: in time, with its tools, and with a clean stdout."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import tomllib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from ollama_mcp._command import command
from ollama_mcp.cli.doctor.check import Check

# The patience of Codex; others wait longer, or show no tools until the server is there.
PATIENCE_SECONDS = 10.0
_LIMIT_SECONDS = 60.0
_MAX_LINE_BYTES = 16_000_000
_NAMES = ("ollama-mcp-server", "ollama-mcp-server.exe", "ollama_mcp_server.py", "ollama_mcp")
# The configuration of hosts below the user's home, with the key that holds their servers.
_FILES = (
    ("Claude Code", ".claude.json", "mcpServers"),
    ("Claude Desktop", "Library/Application Support/Claude/claude_desktop_config.json", "mcpServers"),
    ("Claude Desktop", "AppData/Roaming/Claude/claude_desktop_config.json", "mcpServers"),
    ("Claude Desktop", ".config/Claude/claude_desktop_config.json", "mcpServers"),
    ("Codex", ".codex/config.toml", "mcp_servers"),
    ("Cursor", ".cursor/mcp.json", "mcpServers"),
    ("Gemini CLI", ".gemini/settings.json", "mcpServers"),
    ("Qwen Code", ".qwen/settings.json", "mcpServers"),
    ("Windsurf", ".codeium/windsurf/mcp_config.json", "mcpServers"),
    ("VS Code", ".config/Code/User/mcp.json", "servers"),
    ("Copilot CLI", ".copilot/mcp-config.json", "mcpServers"),
    ("LM Studio", ".lmstudio/mcp.json", "mcpServers"),
)
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


async def check_hosts(home: Path) -> AsyncGenerator[Check]:
    """Start what the configuration of each host names as this server."""
    found = False
    for host, file, words, environment in _entries(home):
        found = True
        yield await check_start(f"host {host}", words, environment, where=f" ({file})")
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


def _entries(home: Path) -> Iterator[tuple[str, Path, list[str], dict[str, str]]]:
    for host, below, key in _FILES:
        file = home / below
        for entry in _servers(file, key):
            words = [str(entry.get("command") or ""), *map(str, cast("list[object]", entry.get("args") or []))]
            names = {word.replace("\\", "/").rpartition("/")[2] for word in words}
            # On npm the name is another project's.
            if names & {*_NAMES} and not names & {"npx", "npx.cmd"}:
                variables = cast("dict[str, object]", entry.get("env") or {})
                yield host, file, words, {name: str(value) for name, value in variables.items()}


def _servers(file: Path, key: str) -> list[dict[str, Any]]:
    """The servers of a host's configuration; none where it cannot be read."""
    with suppress(OSError, ValueError):
        text = file.read_text(encoding="utf-8-sig")
        values: Any = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
        servers: Any = cast("dict[str, Any]", values).get(key) if isinstance(values, dict) else None
        if isinstance(servers, dict):
            found: list[Any] = list(cast("dict[str, Any]", servers).values())
            return [cast("dict[str, Any]", one) for one in found if isinstance(one, dict)]
    return []
