"""Links that install the server with a click, in the forms that the hosts document."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, urlencode

from ollama_mcp._project import uvx_command


def _configuration() -> dict[str, object]:
    command, *args = uvx_command()
    return {"command": command, "args": args}


def vscode_link(*, insiders: bool = False) -> str:
    """The link of VS Code, through its page that redirects: GitHub drops links of other schemes."""
    scheme = "vscode-insiders" if insiders else "vscode"
    target = f"{scheme}:mcp/install?{quote(json.dumps({'name': 'ollama', **_configuration()}), safe='')}"
    return f"https://insiders.vscode.dev/redirect?url={quote(target, safe='')}"


def cursor_link() -> str:
    """The link of Cursor, with the configuration as base64."""
    return "https://cursor.com/en/install-mcp?" + urlencode({"name": "ollama", "config": _base64()})


def lm_studio_link() -> str:
    """The link of LM Studio."""
    return "https://lmstudio.ai/install-mcp?" + urlencode({"name": "ollama", "config": _base64()})


def _base64() -> str:
    return base64.b64encode(json.dumps(_configuration()).encode()).decode()
