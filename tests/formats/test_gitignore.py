"""What a .gitignore file ignores, as git itself says it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ollama_mcp.formats.gitignore import GitIgnore

RULES = r"""
# a comment
*.log
!keep.log
/top.txt
build/
docs/*.md
docs/**/deep.txt
**/cache
a/**
!a/b
data[0-9].csv
x[!a-c]y
x[^d-f]z
\#odd
\!odd
with space.txt   
\*star
one/two/
"""
PATHS = (
    *("a.log", "keep.log", "s/keep.log", "s/a.log", "top.txt", "s/top.txt", "build/x", "s/build/x", "s/build2/x"),
    *("docs/a.md", "docs/s/a.md", "s/docs/a.md", "docs/deep.txt", "docs/s/t/deep.txt", "cache/x", "s/cache", "a/b/c"),
    *("a/c", "s/a/c", "data1.csv", "datax.csv", "xay", "xzy", "xdz", "xaz", "#odd", "!odd", "with space.txt"),
    *("*star", "astar", "one/two/x", "s/one/two/x", "one/twoo", "build", "# a comment"),
)


def is_ignored(rules: GitIgnore, path: str) -> bool:
    names = path.split("/")
    return any(rules.ignores(names[:size], is_folder=size < len(names)) for size in range(1, len(names) + 1))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_it_ignores_what_git_ignores(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text(RULES, encoding="utf-8")
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        if not (tmp_path / path).exists():
            (tmp_path / path).write_text("x", encoding="utf-8")
    files = [path for path in PATHS if (tmp_path / path).is_file()]
    asked = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", "--stdin", "-z", "--no-index"],
        input="\0".join(files).encode(),
        capture_output=True,
        check=False,
    )
    rules = GitIgnore(RULES)
    assert [path for path in files if is_ignored(rules, path)] == asked.stdout.decode().split("\0")[:-1]
    assert "a.log" in asked.stdout.decode()


@pytest.mark.parametrize("text", ["", "\n\n", "/", "!", "//", "[", "***", "\\", "\0", "*" * 5_000 + "b"])
def test_odd_files_are_read(text: str) -> None:
    assert not GitIgnore(text + "\n").ignores(["a", "a" * 200], is_folder=False) or text == "***"
