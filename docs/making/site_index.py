"""What is made from the site's navigation: README's list of pages and llms.txt; and the address in every page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML

from bundles.manifests import SUMMARY
from ollama_mcp._project import NAME, REPOSITORY, uvx_command

ROOT = Path(__file__).resolve().parent.parent.parent
_ADDRESS = re.compile(rf"https://github\.com/[\w.-]+/{NAME}\b")
_UVX = re.compile(rf"uvx (?:--from git\+\S+ )?{NAME}\b")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def with_address(text: str) -> str:
    """The text with the project's own address and command, whatever it held before."""
    return _ADDRESS.sub(REPOSITORY, _UVX.sub(shlex.join(uvx_command()), text))


def pages_of_site() -> dict[str, dict[str, str]]:
    """The pages of each part of the site: the name in the navigation by the file in docs/."""
    reader: Any = YAML(typ="safe")
    nav = cast("list[dict[str, str | list[dict[str, str]]]]", reader.load(ROOT / "mkdocs.yml")["nav"])
    return {
        part: {file: title for page in pages for title, file in page.items()}
        for parts in nav
        for part, pages in parts.items()
        if not isinstance(pages, str)
    }


def list_of_pages() -> str:
    """README's list of the pages."""
    return "\n".join(
        f"- **{part}**: " + ", ".join(f"[{title}](docs/{file})" for file, title in pages.items())
        for part, pages in pages_of_site().items()
    )


def llms_txt(texts: Mapping[str, str]) -> str:
    """What models are told of the site (llmstxt.org): its pages, each with its first sentence.

    Args:
        texts: The text of each page by its file in docs/.
    """
    lines = [f"# {NAME}", "", f"> {SUMMARY}", ""]
    for part, pages in pages_of_site().items():
        lines += [f"## {part}", ""]
        for file, title in pages.items():
            # The page itself, not its HTML.
            lines.append(f"- [{title}]({REPOSITORY}/blob/main/docs/{file}): {_first_sentence(texts[file])}")
        lines.append("")
    return "\n".join(lines)


def _first_sentence(text: str) -> str:
    for paragraph in _TITLE.sub("", text, count=1).split("\n\n"):
        words = " ".join(paragraph.split())
        if words and words[0] not in "#|`<->":
            sentence = re.split(r"(?<=[.:])\s", words)[0].rstrip(":")
            return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", sentence)
    return _TITLE.findall(text)[0]
