"""The extension of Claude Desktop: a ZIP file with the sources, which Desktop runs by uv.

Format: github.com/anthropics/mcpb, manifest version 0.4, the first that knows servers of the type uv.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from bundles.manifests import KEYWORDS, LICENSE, SUMMARY, run_in
from ollama_mcp import __version__
from ollama_mcp._project import NAME, REPOSITORY
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
# What the server needs to run by `uv run`, with what its build reads.
_CONTENTS = (
    "ollama_mcp/**/*.py",
    "ollama_mcp_server.py",
    "tools/*.py",
    "prompts/*.md",
    "skills/**/*.md",
    "config.json",
    "pyproject.toml",
    "uv.lock",
    "hatch_build.py",
    "README.md",
    "LICENSE",
    "docs/pictures/inspector.png",
)
_ICON_PIXELS = 512
# The same bytes for the same sources.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def write_desktop_extension(folder: Path, manifest: dict[str, Any]) -> Path:
    """Write the extension into a folder, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAME}-{__version__}.mcpb"
    contents = {"manifest.json": json.dumps(manifest, indent=2).encode(), "icon.png": icon()}
    for pattern in _CONTENTS:
        for file in sorted(ROOT.glob(pattern)):
            contents[file.relative_to(ROOT).as_posix()] = file.read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)
    return path


async def desktop_manifest() -> dict[str, Any]:
    """The manifest. Each optional field has a default: without one, Desktop passes on the placeholder's own text."""
    server = OllamaServer(Settings())
    tools = await server.list_tools()
    prompts = await server.list_prompts()
    command, *args = run_in("${__dirname}")
    return {
        "manifest_version": "0.4",
        "name": NAME,
        "display_name": "Ollama",
        "version": __version__,
        "description": SUMMARY,
        "author": {"name": f"{NAME} contributors"},
        "repository": {"type": "git", "url": REPOSITORY},
        "documentation": f"{REPOSITORY}#readme",
        "support": f"{REPOSITORY}/issues",
        "icon": "icon.png",
        "icons": [{"src": "icon.png", "size": f"{_ICON_PIXELS}x{_ICON_PIXELS}"}],
        "screenshots": ["docs/pictures/inspector.png"],
        "server": {
            "type": "uv",
            "entry_point": "ollama_mcp_server.py",
            "mcp_config": {
                "command": command,
                # Several folders become several arguments only as a whole argument.
                "args": [*args, "--folders", "${user_config.folders}"],
                "env": {
                    "OLLAMA_HOST": "${user_config.host}",
                    "OLLAMA_MCP_API_KEY": "${user_config.api_key}",
                    "OLLAMA_MCP_DEFAULTS__MODEL": "${user_config.model}",
                    "OLLAMA_MCP_READ_ONLY": "${user_config.read_only}",
                },
            },
        },
        "tools": [{"name": tool.name, "description": (tool.description or "").split(". ")[0]} for tool in tools],
        "prompts": [
            {"name": prompt.name, "description": prompt.description or "", "text": prompt.description or prompt.name}
            for prompt in prompts
        ],
        "prompts_generated": True,
        "keywords": KEYWORDS,
        "license": LICENSE,
        "compatibility": {"platforms": ["darwin", "win32", "linux"], "runtimes": {"python": ">=3.11"}},
        "user_config": {
            "host": _field("string", "Ollama's address", "As OLLAMA_HOST; this machine's Ollama by default.", ""),
            "api_key": {
                **_field("string", "Key for a proxy", "Sent to that address only; mostly not needed.", ""),
                "sensitive": True,
            },
            "model": _field("string", "Default model", "Used where a request names none; chosen if empty.", ""),
            "folders": {
                **_field("directory", "Folders to read", "Local models may read text files in them.", []),
                "multiple": True,
            },
            "read_only": _field("boolean", "Read-only", "Offer nothing that changes models or files.", False),
        },
    }


def _field(kind: str, title: str, description: str, default: str | bool | list[str]) -> dict[str, Any]:
    return {"type": kind, "title": title, "description": description, "required": False, "default": default}


def icon(pixels: int = _ICON_PIXELS) -> bytes:
    """The server's icon as PNG, drawn four times as large for smooth edges."""
    scale = pixels * 4 / 48
    image = Image.new("RGBA", (pixels * 4, pixels * 4))
    draw = ImageDraw.Draw(image)

    def box(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        return left * scale, top * scale, right * scale, bottom * scale

    draw.rounded_rectangle(box(0, 0, 48, 48), radius=11 * scale, fill="#133b3a")
    draw.arc(box(10, 10, 38, 38), start=0, end=300, fill="#ffffff", width=round(4 * scale))
    draw.ellipse(box(19, 19, 29, 29), fill="#2ec4a6")
    file = io.BytesIO()
    image.resize((pixels, pixels), Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()
