"""Hooks of mkdocs: README is the first page, links that leave docs/ lead to the repository, recordings are played."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
# mkdocs is in an environment of its own, which the type checker does not see.
_FILES: Any = import_module("mkdocs.structure.files")
_PLUGINS: Any = import_module("mkdocs.plugins")
_BLOCK = r'```asciinema-player\n{"file": "\1", "cols": 96, "rows": 30, "poster": "npt:0:12"}\n```'
_PLAYER = re.compile(r"<!-- player: (\S+) -->")
_LINK = re.compile(r"(\]\(|(?:src|srcset|href)=\")(?!https?://|#|mailto:)([^)\"\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add README as the first page."""
    text = _LINK.sub(_from_docs, (ROOT / "README.md").read_text(encoding="utf-8"))
    files.append(_FILES.File.generated(config, "index.md", content=text))
    return files


# Before the plugin of the player looks for its blocks.
@_PLUGINS.event_priority(50)
def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let the links of a page that leave docs/ lead to the repository, and put players where recordings are named."""
    start = f"{config.repo_url}/blob/main/"
    linked = _LINK.sub(lambda found: found[1] + re.sub(r"^\.\./", start, found[2]), markdown)
    return _PLAYER.sub(_BLOCK, linked)


def _from_docs(found: re.Match[str]) -> str:
    target = found[2]
    return found[1] + (target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}")
