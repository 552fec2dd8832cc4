"""The hosts that `install` knows: where each keeps its servers, in which form, and how it is told to be there.

Formats and paths are those of the hosts' own documentation; those of Claude Code, Codex, Gemini CLI, Qwen Code,
opencode, Copilot CLI, Cline and Continue were accepted by the host itself on Linux.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ollama_mcp.cli.install.editing import Entry, Format, Place

OwnCommand = Literal["claude", "codex", "gemini", "qwen"]


@dataclass(frozen=True)
class Form:
    """The keys of an entry.

    Args:
        command: Of the program.
        args: Of its arguments; "" where `command` is a list that holds them too.
        env: Of its variables.
    """

    command: str = "command"
    args: str = "args"
    env: str = "env"


@dataclass(frozen=True)
class Launch:
    """What a host is to start.

    Args:
        words: The program, by its absolute path, and its arguments.
        variables: What it is given beside the host's own environment.
    """

    words: list[str]
    variables: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class HostApp:
    """An application that starts MCP servers.

    Args:
        key: Its name on our command line.
        title: Its name.
        files: Patterns of its configuration file (`Machine.find`), the first whose folder exists.
        container: The keys that lead to its servers.
        form: The keys of an entry.
        format: The file's format.
        fixed: What else a new entry has, such as time limits; "{name}" in it is the server's name.
        marks: Patterns of folders that show it is installed, beside those of `files`.
        program: Its program on PATH, if it has one.
        own_command: Its program's way to add a server.
        is_list: Whether its servers are a list.
        beginning: What a new file begins with.
        afterwards: What its user does to see the tools.
    """

    key: str
    title: str
    files: tuple[str, ...]
    container: tuple[str, ...] = ("mcpServers",)
    form: Form = Form()
    format: Format = "json"
    fixed: Entry = field(default_factory=dict[str, Any])
    marks: tuple[str, ...] = ()
    program: str = ""
    own_command: OwnCommand | None = None
    is_list: bool = False
    beginning: str = ""
    afterwards: str = "Restart it"

    def place(self, name: str) -> Place:
        """Where an entry of this name stands."""
        return Place(self.format, self.container, name, self.is_list, self.beginning)

    def words(self, entry: Entry) -> list[str]:
        """What an entry starts: program and arguments; empty where it starts none."""
        command: Any = entry.get(self.form.command)
        arguments: Any = entry.get(self.form.args) if self.form.args else None
        words: list[Any] = []
        for one in (command, arguments):
            words += cast("list[Any]", one) if isinstance(one, list) else [one]
        return [str(word) for word in words if word is not None]

    def variables(self, entry: Entry) -> dict[str, str]:
        """The variables that an entry sets."""
        found: Any = entry.get(self.form.env)
        return {str(key): str(value) for key, value in cast("Entry", found).items()} if isinstance(found, dict) else {}

    def entry(self, name: str, launch: Launch, old: Entry | None = None) -> Entry:
        """The entry, with what its user has added to the old one."""
        fixed = json.loads(json.dumps(self.fixed).replace("{name}", name))
        program, *arguments = launch.words
        ours: Entry = {self.form.command: launch.words}
        if self.form.args:
            ours = {self.form.command: program, self.form.args: arguments}
        ours[self.form.env] = {**self.variables(old or {}), **launch.variables}
        early = {key: fixed.pop(key) for key in ("name", "type", "source") if key in fixed}
        return {**early, **ours, **fixed, **{key: one for key, one in (old or {}).items() if key not in ours}}


HOSTS: tuple[HostApp, ...] = (
    HostApp(
        "claude-desktop",
        "Claude Desktop",
        (
            # Windows: what the Store's package reads comes first; Claude_* is the package's name.
            "{local}/Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
            "{config}/Claude/claude_desktop_config.json",
        ),
        afterwards="Quit it and start it again",
    ),
    HostApp(
        "claude-code",
        "Claude Code",
        ("{CLAUDE_CONFIG_DIR}/.claude.json", "{home}/.claude.json"),
        fixed={"type": "stdio"},
        marks=("{CLAUDE_CONFIG_DIR}", "{home}/.claude", "{home}/.claude.json"),
        program="claude",
        own_command="claude",
        afterwards="Start a new session",
    ),
    HostApp("cursor", "Cursor", ("{home}/.cursor/mcp.json",)),
    HostApp(
        "vscode",
        "VS Code",
        ("{config}/Code/User/mcp.json",),
        container=("servers",),
        fixed={"type": "stdio"},
        marks=("{config}/Code",),
        program="code",
    ),
    HostApp("windsurf", "Windsurf", ("{home}/.codeium/windsurf/mcp_config.json",)),
    HostApp(
        "zed",
        "Zed",
        # On macOS too it is ~/.config.
        ("{xdg}/zed/settings.json", "{xdg}/Zed/settings.json"),
        container=("context_servers",),
        fixed={"source": "custom"},
        program="zed",
    ),
    HostApp(
        "codex",
        "Codex",
        ("{CODEX_HOME}/config.toml", "{home}/.codex/config.toml"),
        container=("mcp_servers",),
        format="toml",
        # It does not wait for a server that is not required, and ends a start after 10 s and a call after 60 s.
        fixed={"required": True, "startup_timeout_sec": 60, "tool_timeout_sec": 900},
        program="codex",
        own_command="codex",
        afterwards="Start a new session",
    ),
    HostApp(
        "gemini-cli",
        "Gemini CLI",
        ("{home}/.gemini/settings.json",),
        program="gemini",
        own_command="gemini",
        afterwards="Start a new session",
    ),
    HostApp(
        "qwen",
        "Qwen Code",
        ("{home}/.qwen/settings.json",),
        program="qwen",
        own_command="qwen",
        afterwards="Start a new session",
    ),
    HostApp(
        "opencode",
        "opencode",
        ("{xdg}/opencode/opencode.json", "{xdg}/opencode/opencode.jsonc"),
        container=("mcp",),
        form=Form(args="", env="environment"),
        # Milliseconds.
        fixed={"type": "local", "enabled": True, "timeout": 60_000},
        program="opencode",
        afterwards="Start a new session",
    ),
    HostApp(
        "copilot-cli",
        "Copilot CLI",
        ("{home}/.copilot/mcp-config.json",),
        fixed={"type": "local", "tools": ["*"]},
        program="copilot",
        afterwards="Start a new session",
    ),
    HostApp(
        "cline",
        "Cline",
        (
            "{home}/.cline/data/settings/cline_mcp_settings.json",
            "{config}/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
        ),
        # Seconds of a call; it ends one after 60 by itself.
        fixed={"timeout": 900},
        marks=("{home}/.cline", "{config}/Code/User/globalStorage/saoudrizwan.claude-dev"),
        program="cline",
    ),
    HostApp(
        "continue",
        "Continue",
        ("{home}/.continue/config.yaml",),
        format="yaml",
        fixed={"name": "{name}"},
        is_list=True,
        beginning="name: Local Config\nversion: 1.0.0\nschema: v1\n",
    ),
    HostApp(
        "goose",
        "goose",
        ("{APPDATA}/Block/goose/config/config.yaml", "{xdg}/goose/config.yaml"),
        container=("extensions",),
        form=Form(command="cmd", env="envs"),
        format="yaml",
        # Seconds of a call; it ends one after 300 by itself.
        fixed={"name": "{name}", "type": "stdio", "enabled": True, "timeout": 900, "description": "Local models"},
        program="goose",
        afterwards="Start a new session",
    ),
    HostApp("lm-studio", "LM Studio", ("{home}/.lmstudio/mcp.json",)),
)
