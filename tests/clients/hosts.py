"""Real hosts, each with an empty home, a scripted model behind it and this server in its configuration."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests import installed
from tests.support import until

HERE = Path(__file__).parent
_SECONDS = 100.0
_KEY = "no-key"
_PROGRAM = ("-m", "ollama_mcp")


@dataclass(frozen=True)
class Server:
    """How a host starts this server.

    Args:
        ollama: The address of its Ollama.
        options: Its options.
    """

    ollama: str
    options: list[str] = field(default_factory=list[str])

    @property
    def command(self) -> str:
        """The program."""
        return sys.executable

    @property
    def arguments(self) -> list[str]:
        """What follows it."""
        return [*_PROGRAM, *self.options]

    @property
    def variables(self) -> dict[str, str]:
        """What it is given of its environment."""
        return {"OLLAMA_HOST": self.ollama}

    @property
    def entry(self) -> dict[str, object]:
        """The entry of the usual JSON."""
        return {"command": self.command, "args": self.arguments, "env": self.variables}


class Host(Protocol):
    """An application that runs an agent."""

    name: str
    """The folder with its package.json."""

    prefix: str
    """What it puts before a tool's name."""

    def configure(self, home: Path, model: str, server: Server) -> None:
        """Write its files."""
        ...

    def program(self) -> list[str]:
        """Its program."""
        ...

    def command(self, prompt: str) -> list[str]:
        """Its program without a terminal, with a prompt."""
        ...

    def variables(self, model: str) -> dict[str, str]:
        """What points it at a model's address."""
        ...


class Claude:
    """Claude Code."""

    name, prefix = "claude", "mcp__ollama__"

    def configure(self, home: Path, model: str, server: Server) -> None:
        (home / "mcp.json").write_text(json.dumps({"mcpServers": {"ollama": server.entry}}))
        # What it would ask a new user on a terminal.
        trusted = {str(home / "project"): {"hasTrustDialogAccepted": True}}
        key = {"approved": [_KEY], "rejected": []}
        known = {"hasCompletedOnboarding": True, "theme": "dark", "customApiKeyResponses": key, "projects": trusted}
        (home / ".claude.json").write_text(json.dumps(known))

    def program(self) -> list[str]:
        return [str(installed.from_npm(HERE / self.name) / "node_modules/.bin/claude")]

    def command(self, prompt: str) -> list[str]:
        return [*self.on_terminal(), "-p", prompt, "--output-format", "stream-json", "--verbose"]

    def on_terminal(self) -> list[str]:
        """Its program on a terminal."""
        known = ["--mcp-config", "../mcp.json", "--strict-mcp-config", "--allowedTools", "mcp__ollama"]
        return [*self.program(), *known, "--permission-mode", "manual", "--model", "claude-sonnet-5-5"]

    def variables(self, model: str) -> dict[str, str]:
        quiet = ("DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING", "DISABLE_AUTOUPDATER")
        quiet += ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",)
        return {"ANTHROPIC_BASE_URL": model, "ANTHROPIC_API_KEY": _KEY, **dict.fromkeys(quiet, "1")}


class Codex:
    """Codex, with a provider of models of its own."""

    name, prefix = "codex", ""

    def configure(self, home: Path, model: str, server: Server) -> None:
        quoted = {key: json.dumps(value) for key, value in server.variables.items()}
        lines = [
            'model = "scripted"',
            'model_provider = "scripted"',
            'approval_policy = "never"',
            "[model_providers.scripted]",
            'name = "scripted"',
            f'base_url = "{model}/v1"',
            'wire_api = "responses"',
            'env_key = "SCRIPTED_KEY"',
            "request_max_retries = 0",
            "[mcp_servers.ollama]",
            f"command = {json.dumps(server.command)}",
            f"args = {json.dumps(server.arguments)}",
            "env = {" + ", ".join(f"{key} = {value}" for key, value in quoted.items()) + "}",
            "required = true",
            "startup_timeout_sec = 60",
        ]
        (home / ".codex").mkdir()
        (home / ".codex" / "config.toml").write_text("\n".join(lines))

    def program(self) -> list[str]:
        return [installed.node(), str(installed.from_npm(HERE / self.name) / "node_modules/.bin/codex")]

    def command(self, prompt: str) -> list[str]:
        return [*self.program(), "exec", "--skip-git-repo-check", "--json", prompt]

    def variables(self, model: str) -> dict[str, str]:
        return {"SCRIPTED_KEY": _KEY}


class Gemini:
    """Gemini CLI."""

    name, prefix = "gemini", "mcp_ollama_"

    def configure(self, home: Path, model: str, server: Server) -> None:
        settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "mcpServers": {"ollama": server.entry}}
        (home / ".gemini").mkdir()
        (home / ".gemini" / "settings.json").write_text(json.dumps(settings))

    def program(self) -> list[str]:
        return [installed.node(), str(installed.from_npm(HERE / self.name) / "node_modules/.bin/gemini")]

    def command(self, prompt: str) -> list[str]:
        return [*self.program(), "-p", prompt, "--approval-mode", "yolo", "-m", "gemini-2.5-pro", "--skip-trust"]

    def variables(self, model: str) -> dict[str, str]:
        # One process, which is the one that a signal must reach.
        return {"GEMINI_API_KEY": _KEY, "GOOGLE_GEMINI_BASE_URL": model, "GEMINI_CLI_NO_RELAUNCH": "true"}


@dataclass(frozen=True)
class Home:
    """An empty home with a project in it, in which a host runs."""

    folder: Path

    @property
    def project(self) -> Path:
        """The folder in which the host is started."""
        return self.folder / "project"

    def environment(self, model: str, variables: Mapping[str, str]) -> dict[str, str]:
        """Nothing of the person's own; what leaves loopback goes to the model, which refuses it."""
        own = {"HOME": str(self.folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        proxy = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), model)
        return {**own, **proxy, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **variables}

    async def prepare(self, host: Host, model: str, server: Server) -> None:
        """Write the host's files and make the server's start ready, as README says."""
        self.project.mkdir()
        host.configure(self.folder, model, server)
        env = self.environment(model, server.variables)
        command = [server.command, *_PROGRAM, "warm", *server.options]
        warm = await asyncio.create_subprocess_exec(
            *command, cwd=self.project, env=env, stdout=asyncio.subprocess.DEVNULL
        )
        assert await warm.wait() == 0

    @asynccontextmanager
    async def running(self, host: Host, model: str) -> AsyncGenerator[Running]:
        """The host while its agent runs; it and what it started are ended with the block."""
        env = self.environment(model, host.variables(model))
        with (self.folder / "printed").open("wb") as printed:
            process = await asyncio.create_subprocess_exec(
                *host.command("go"),
                cwd=self.project,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                start_new_session=True,
            )
        try:
            yield Running(process, self.folder / "printed")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@dataclass(frozen=True)
class Running:
    """A host that runs.

    Args:
        process: The host.
        printed: The file of what it prints.
    """

    process: asyncio.subprocess.Process
    printed: Path

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something that the host brings about; fails at once where the host ends without."""
        await until(lambda: true() or self.process.returncode is not None, _SECONDS)
        assert true(), self.printed.read_text()[-3000:]

    async def interrupt(self) -> None:
        """Stop it as Ctrl-C does, and wait for its end."""
        self.process.send_signal(signal.SIGINT)
        await asyncio.wait_for(self.process.wait(), _SECONDS)
