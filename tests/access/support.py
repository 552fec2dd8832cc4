"""Opening files and writing results as the tools do, and catching the refusal."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from ollama_mcp.access import Access, Purpose, ReadRules, WriteRules, open_file
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.settings.access import ReadSettings, UrlSettings, WriteSettings
from tests.access.conftest import CANARY, Machine

ENDINGS = (".json", ".jsonl", ".csv", ".npy", ".md", ".txt", ".html")


def content(text: str | Path, rules: ReadRules, purpose: Purpose = Purpose.IMAGE) -> str:
    with open_file(str(text), purpose, rules) as file:
        return file.read(1000, setting="images.max_bytes").decode()


def refusal(text: str | Path, rules: ReadRules, purpose: Purpose = Purpose.IMAGE) -> OllamaMCPError:
    with pytest.raises(OllamaMCPError) as caught:
        content(text, rules, purpose)
    assert CANARY not in str(caught.value)
    assert len(str(caught.value)) <= 400
    return caught.value


def writer(machine: Machine, *folders: Path | str, rules: ReadRules | None = None, **more: object) -> Access:
    writing = WriteRules(WriteSettings(folders=[str(folder) for folder in folders]))
    return Access(rules or machine.rules(ReadSettings()), UrlSettings(), write_rules=replace(writing, **more))


def write(access: Access, path: Path | str, *chunks: bytes, overwrite: bool = False) -> Path:
    with access.prepare_output(str(path), ENDINGS, overwrite=overwrite) as output:
        assert output.write(chunks) == sum(map(len, chunks))
        return Path(output.path)


def refused(
    access: Access, path: Path | str, *, overwrite: bool = False, chunks: Iterable[bytes] = (b"x",)
) -> OllamaMCPError:
    with pytest.raises(OllamaMCPError) as caught, access.prepare_output(str(path), ENDINGS, overwrite=overwrite) as out:
        out.write(chunks)
    assert len(str(caught.value)) <= 400
    assert CANARY not in str(caught.value)
    return caught.value


def everything_below(folder: Path) -> dict[str, bytes | str]:
    """All names below a folder, with the content of files and the targets of links."""
    tree: dict[str, bytes | str] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            tree[str(path)] = os.readlink(path) if path.is_symlink() else "" if path.is_dir() else path.read_bytes()
    return tree
