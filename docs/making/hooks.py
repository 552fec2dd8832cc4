"""Hooks of mkdocs: the first page is README, and links that leave docs/ lead to the repository."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
_LINK = re.compile(r"(\]\(|(?:src|srcset|href)=\")(?!https?://|#|mailto:)([^)\"\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add README as the first page."""
    # mkdocs is in an environment of its own, which the type checker does not see.
    made = import_module("mkdocs.structure.files").File.generated
    text = _LINK.sub(_from_docs, (ROOT / "README.md").read_text(encoding="utf-8"))
    files.append(made(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let the links of a page that leave docs/ lead to the repository."""
    start = f"{config.repo_url}/blob/main/"
    return _LINK.sub(lambda found: found[1] + re.sub(r"^\.\./", start, found[2]), markdown)


def _from_docs(found: re.Match[str]) -> str:
    target = found[2]
    return found[1] + (target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}")
