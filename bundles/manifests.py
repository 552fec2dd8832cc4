"""The manifests that stand in the repository: plugins, an extension, the registry's entry. `make docs` writes them.

Formats: code.claude.com/docs/en/plugins-reference, developers.openai.com/plugins, geminicli.com/docs/extensions,
modelcontextprotocol.io/registry; each was accepted by the host's own validation.
"""

from __future__ import annotations

import json
from typing import Any

from ollama_mcp import __version__
from ollama_mcp._project import NAME, OWNER, REPOSITORY, uvx_command

SUMMARY = "Local models through Ollama: ask, read files, batch, label, compare, search, manage models."
"""At most 100 characters: the registry takes no more."""
PLUGIN = "ollama"
LICENSE = "MIT"
KEYWORDS = ["ollama", "mcp", "local models", "llm", "embeddings"]
_AUTHOR = {"name": f"{NAME} contributors"}
_DEFAULT_HOST = "http://127.0.0.1:11434"
_REGISTRY_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"


def manifests() -> dict[str, str]:
    """The text of each manifest by its path in the repository."""
    made = {
        ".claude-plugin/plugin.json": claude_plugin(),
        ".claude-plugin/marketplace.json": claude_marketplace(),
        ".codex-plugin/plugin.json": codex_plugin(),
        ".codex-plugin/mcp.json": {"mcpServers": {PLUGIN: _server(*uvx_command())}},
        ".agents/plugins/marketplace.json": codex_marketplace(),
        "gemini-extension.json": gemini_extension(),
        "server.json": registry_entry(),
    }
    return {path: json.dumps(manifest, indent=2) + "\n" for path, manifest in made.items()}


def claude_plugin() -> dict[str, Any]:
    """The plugin of Claude Code: this server, run from the plugin's own copy, and the skill beside it."""
    server = _server(*run_in("${CLAUDE_PLUGIN_ROOT}"), env={"OLLAMA_HOST": f"${{OLLAMA_HOST:-{_DEFAULT_HOST}}}"})
    return {**_plugin(), "keywords": KEYWORDS, "mcpServers": {PLUGIN: server}}


def claude_marketplace() -> dict[str, Any]:
    """The repository as a marketplace of Claude Code that holds one plugin."""
    return {
        "name": NAME,
        "owner": _AUTHOR,
        "metadata": {"description": SUMMARY},
        "plugins": [{"name": PLUGIN, "source": "./", "description": SUMMARY}],
    }


def codex_plugin() -> dict[str, Any]:
    """The plugin of Codex, which tells a server no path of its own: it is run from the package.

    Its servers are not in `.mcp.json`, which Claude Code would take too; Codex reads them where this names them.
    """
    return {**_plugin(), "skills": "./skills/", "mcpServers": "./.codex-plugin/mcp.json"}


def codex_marketplace() -> dict[str, Any]:
    """The repository as a marketplace of Codex."""
    plugin = {
        "name": PLUGIN,
        "source": {"source": "local", "path": "./"},
        "policy": {"installation": "AVAILABLE", "authentication": "ON_INSTALL"},
        "category": "Developer Tools",
    }
    return {"name": NAME, "interface": {"displayName": "Ollama"}, "plugins": [plugin]}


def gemini_extension() -> dict[str, Any]:
    """The extension of Gemini CLI."""
    return {
        "name": PLUGIN,
        "version": __version__,
        "description": SUMMARY,
        "mcpServers": {PLUGIN: _server(*run_in("${extensionPath}"))},
    }


def registry_entry() -> dict[str, Any]:
    """The entry of the MCP registry."""
    return {
        "$schema": _REGISTRY_SCHEMA,
        "name": registry_name(),
        "title": "Ollama",
        "description": SUMMARY,
        "repository": {"url": REPOSITORY, "source": "github"},
        "version": __version__,
        "packages": [
            {
                "registryType": "pypi",
                "identifier": NAME,
                "version": __version__,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "environmentVariables": [
                    {
                        "name": "OLLAMA_HOST",
                        "description": "Address of Ollama, as its own programs read it.",
                        "default": _DEFAULT_HOST,
                    },
                    {
                        "name": "OLLAMA_MCP_API_KEY",
                        "description": "Key for a proxy in front of Ollama.",
                        "isSecret": True,
                    },
                    {
                        "name": "OLLAMA_MCP_READ_ONLY",
                        "description": "Offer only what changes nothing.",
                        "format": "boolean",
                        "default": "false",
                    },
                ],
            }
        ],
    }


def registry_name() -> str:
    """The name in the MCP registry; README holds it too, which proves that both are ours."""
    return f"io.github.{OWNER}/{NAME}"


def run_in(folder: str) -> list[str]:
    """The command that runs the server from a copy of the repository, in the host's working folder."""
    return ["uv", "run", "--no-dev", "--project", folder, NAME]


def _plugin() -> dict[str, Any]:
    return {
        "name": PLUGIN,
        "version": __version__,
        "description": SUMMARY,
        "author": _AUTHOR,
        "homepage": REPOSITORY,
        "repository": REPOSITORY,
        "license": LICENSE,
    }


def _server(command: str, *args: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    return {"command": command, "args": [*args], **({"env": env} if env else {})}
