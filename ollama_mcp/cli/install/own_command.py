"""The commands by which Claude Code, Codex, Gemini CLI and Qwen Code add and remove a server themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ollama_mcp.cli.install.hosts import HostApp, Launch
from ollama_mcp.cli.install.machine import Machine

_SECONDS = 60


def add(host: HostApp, machine: Machine, name: str, launch: Launch) -> str:
    """Have the host add the server.

    Returns:
        What was run, such as "claude mcp add"; "" where the host has no such command, or it did not succeed.
    """
    pairs = [f"{key}={value}" for key, value in launch.variables.items()]
    match host.own_command:
        case "claude":
            # --env takes all that follows, up to the next option.
            variables = ["--env", *pairs] if pairs else []
            arguments = ["--scope", "user", name, *variables, "--", *launch.words]
        case "codex":
            arguments = [name, *(word for pair in pairs for word in ("--env", pair)), "--", *launch.words]
        case "gemini" | "qwen":
            variables = [word for pair in pairs for word in ("-e", pair)]
            arguments = [*variables, "--scope", "user", name, launch.words[0], "--", *launch.words[1:]]
        case None:
            return ""
    return _run(host, machine, "add", arguments)


def remove(host: HostApp, machine: Machine, name: str) -> str:
    """Have the host remove the server; returns as `add` does."""
    match host.own_command:
        case None:
            return ""
        case "codex":
            return _run(host, machine, "remove", [name])
        case _:
            return _run(host, machine, "remove", ["--scope", "user", name])


def _run(host: HostApp, machine: Machine, verb: str, arguments: list[str]) -> str:
    program = machine.program(host.program)
    # A batch file reads % and & in its arguments again.
    if program is None or program.lower().endswith((".cmd", ".bat")):
        return ""
    try:
        done = subprocess.run(
            [program, "mcp", verb, *arguments],
            env=dict(machine.variables),
            cwd=Path(machine.home),  # no project, whose settings it could mean
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f"{host.program} mcp {verb}" if done.returncode == 0 else ""
