"""Which files a pattern or a folder means, and that it tells nothing of what may not be read."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from ollama_mcp.access import Access, FolderNotAllowed, FoundFiles, Purpose, ReadRules, globs
from ollama_mcp.access.quoting import allow_command
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed, OllamaMCPError
from ollama_mcp.settings.access import ReadSettings, UrlSettings
from tests.access.conftest import CANARY, Machine, put
from tests.access.support import content


@pytest.fixture
def project(machine: Machine) -> Path:
    """A project in the working folder, whose text may be read."""
    put(machine.work / "pyproject.toml", "")
    for name in ("b.txt", "a.txt", "A.txt", "docs/x.md", "docs/deep/y.md", "docs/deep/er/z.md", "src/app.py"):
        put(machine.work / name, "ok")
    return machine.work


def make_access(machine: Machine, rules: ReadRules | None = None) -> Access:
    return Access(rules or machine.rules(), UrlSettings())


def names(found: FoundFiles, folder: Path) -> list[str]:
    assert list(found.paths) == sorted(found.paths)
    return [os.path.relpath(path, folder) for path in found.paths]


def find(machine: Machine, pattern: str | Path, limit: int = 100) -> FoundFiles:
    return make_access(machine).find(str(pattern), Purpose.TEXT, limit)


def refused(machine: Machine, pattern: str | Path, access: Access | None = None) -> OllamaMCPError:
    with pytest.raises(OllamaMCPError) as caught:
        (access or make_access(machine)).find(str(pattern), Purpose.TEXT, 10)
    assert len(str(caught.value)) <= 400
    assert CANARY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["A.txt", "a.txt", "b.txt"]),
        ("?.txt", ["A.txt", "a.txt", "b.txt"]),
        ("[ab].txt", ["a.txt", "b.txt"]),
        ("[!b].txt", ["A.txt", "a.txt"]),
        ("[a-b]*", ["a.txt", "b.txt"]),
        ("*", ["A.txt", "a.txt", "b.txt", "pyproject.toml"]),
        ("docs/*", ["docs/x.md"]),
        ("docs/*.md", ["docs/x.md"]),
        ("*/*.md", ["docs/x.md"]),
        ("docs/**/*.md", ["docs/deep/er/z.md", "docs/deep/y.md", "docs/x.md"]),
        ("**/*.md", ["docs/deep/er/z.md", "docs/deep/y.md", "docs/x.md"]),
        ("**/**/**/z.md", ["docs/deep/er/z.md"]),
        ("**/deep/**", ["docs/deep/er/z.md", "docs/deep/y.md"]),
        ("**/deep/*", ["docs/deep/y.md"]),
        ("d*/d*/**/e*/*", ["docs/deep/er/z.md"]),
        ("docs/**", ["docs/deep/er/z.md", "docs/deep/y.md", "docs/x.md"]),
        ("docs", ["docs/deep/er/z.md", "docs/deep/y.md", "docs/x.md"]),
        ("docs/", ["docs/deep/er/z.md", "docs/deep/y.md", "docs/x.md"]),
        ("docs/x.md", ["docs/x.md"]),
        ("./docs/../b.txt", ["b.txt"]),
        ("d[", []),
        ("*.rst", []),
        ("a.txt/*", None),
        ("nowhere/*.txt", None),
    ],
)
def test_a_pattern_means_files_by_its_wildcards(
    machine: Machine, project: Path, pattern: str, expected: list[str] | None
) -> None:
    for text in (pattern, f"{project}/{pattern}"):
        if expected is None:
            assert isinstance(refused(machine, text), InvalidArgument)
        else:
            found = find(machine, text)
            assert names(found, project) == expected
            assert (found.total, found.skipped, found.note) == (len(expected), {}, "")


def test_a_path_that_exists_is_taken_as_it_stands(machine: Machine, project: Path) -> None:
    put(project / "report[1].txt", "ok")
    put(project / "report1.txt", "ok")
    put(project / "odd*dir" / "in.txt", "ok")
    assert names(find(machine, "report[1].txt"), project) == ["report[1].txt"]
    assert names(find(machine, "odd*dir"), project) == ["odd*dir/in.txt"]
    (project / "dangling[1]").symlink_to(project / "absent")
    assert isinstance(refused(machine, "dangling[1]"), InvalidArgument)


def test_a_missing_path_gives_the_closest_names(machine: Machine, project: Path) -> None:
    error = refused(machine, "aa.txt")
    assert isinstance(error, InvalidArgument)
    assert "'a.txt'" in error.next_step


def test_more_than_the_limit_are_counted_and_the_first_returned(machine: Machine, project: Path) -> None:
    found = find(machine, "**", limit=2)
    assert names(found, project) == ["A.txt", "a.txt"]
    assert found.total == 8


def test_what_is_hidden_or_named_like_a_key_is_left_out_and_counted(machine: Machine, project: Path) -> None:
    for name in (".env", ".git/config", ".git/deep/more", "docs/.hidden/a.md", "id_rsa", "docs/server.pem"):
        put(project / name)
    found = find(machine, "**")
    assert found.total == 8
    assert found.skipped == {"hidden or program-owned": 3, "named like a key": 2}
    assert found.note == "3 hidden or program-owned, 2 named like a key"
    assert find(machine, "*.txt").skipped == {}
    assert find(machine, "*.pem").total == find(machine, ".e*").total == 0
    assert isinstance(refused(machine, ".git/*"), NotAllowed)
    assert isinstance(refused(machine, "id_rsa"), NotAllowed)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX special files")
def test_pipes_are_left_out_without_waiting(machine: Machine, project: Path) -> None:
    os.mkfifo(project / "pipe.txt")
    (project / "link.txt").symlink_to(project / "pipe.txt")
    found = find(machine, "*.txt")
    assert (found.total, found.skipped) == (3, {"not regular files": 2})
    assert isinstance(refused(machine, "pipe.txt"), NotAllowed)


@pytest.mark.parametrize(
    "pattern",
    [
        "{outside}/*.png",
        "{outside}/**",
        "{base}/*/*.png",
        "/*",
        "/**/shadow",
        "~/../outside/*",
        "{work}/../outside/*",
        "{work}/*/../../outside/*",
        "../outside/*",
        "{work}/link/*",
        "{work}/link/absent*",
        "{outside}",
        "{work}/link",
        "{work}2/*",
    ],
)
def test_a_pattern_whose_beginning_lies_outside_is_refused_unseen(
    machine: Machine, project: Path, pattern: str
) -> None:
    (project / "link").symlink_to(machine.outside)
    error = refused(machine, pattern.format(outside=machine.outside, base=machine.base, work=project))
    assert isinstance(error, FolderNotAllowed)
    assert "secret" not in str(error)
    if "link" in pattern:
        assert str(machine.outside) not in str(error)
        assert error.folder == str(machine.outside)


def test_whether_something_outside_exists_cannot_be_told(machine: Machine, project: Path) -> None:
    (machine.outside / "there").mkdir()
    for form in ("{}/*", "{}/**/*.png", "{}", "{}/secret.png"):
        there = refused(machine, machine.outside / form.format("there"))
        absent = refused(machine, machine.outside / form.format("faked"))
        assert str(there).replace("there", "faked") == str(absent)


def test_the_folder_that_was_asked_for_is_the_one_to_allow(machine: Machine, project: Path) -> None:
    for text, folder in (("x/*.md", "x"), ("x/y", "x/y"), ("x/y.md", "x")):
        error = refused(machine, machine.outside / text)
        assert isinstance(error, FolderNotAllowed)
        assert error.folder == str(machine.outside / folder)
        assert allow_command(str(machine.outside / folder)) in error.next_step


def test_links_that_lead_out_are_left_out_and_counted_whatever_is_there(machine: Machine, project: Path) -> None:
    put(machine.outside / "deep" / "a.txt")
    (project / "folder").symlink_to(machine.outside)
    (project / "file.txt").symlink_to(machine.outside / "secret.png")
    (project / "absent.txt").symlink_to(machine.outside / "absent")
    found = find(machine, "**/*.txt")
    assert names(found, project) == ["A.txt", "a.txt", "b.txt"]
    assert found.skipped == {"outside the readable folders": 3}
    assert str(machine.outside) not in found.note


def test_links_inside_are_followed_once_and_circles_end(machine: Machine, project: Path) -> None:
    (project / "docs" / "deep" / "up").symlink_to(project)
    (project / "docs" / "self").symlink_to(project / "docs")
    (project / "again.txt").symlink_to(project / "a.txt")
    (project / "hidden.txt").symlink_to(put(project / ".secret.txt"))
    assert find(machine, "**").total == 8
    assert names(find(machine, "docs/deep/up/src/*"), project) == ["src/app.py"]
    assert names(find(machine, "docs/*/src/*"), project) == []
    assert names(find(machine, "docs/deep/*/src/*"), project) == ["src/app.py"]
    # The file itself, and the link to it.
    assert find(machine, "*.txt").skipped == {"hidden or program-owned": 2}


def test_what_was_found_can_be_opened(machine: Machine, project: Path) -> None:
    for path in find(machine, "**").paths:
        if path.endswith("toml"):
            continue
        assert content(path, machine.rules(), Purpose.TEXT) == "ok"
    assert content("docs/x.md", machine.rules(), Purpose.TEXT) == "ok"


def test_relative_names_are_of_the_project(machine: Machine) -> None:
    put(machine.work / "a.txt", "ok")
    assert "absolute" in refused(machine, "a.txt").message
    put(machine.work / "pyproject.toml")
    assert find(machine, "a.txt").total == 1
    put(machine.work / "tiny.gguf")
    assert make_access(machine).find("*.gguf", Purpose.UPLOAD, 10).total == 1
    put(machine.work / "b.png")
    assert make_access(machine).find("*.png", Purpose.IMAGE, 10).total == 1
    never = make_access(machine, machine.rules(ReadSettings(working_folder="never")))
    assert "absolute" in refused(machine, "a.txt", never).message
    environment = machine.environment(over_http=True, has_token=True)
    remote = make_access(
        machine, ReadRules(ReadSettings(over_http=True, text_folders=[str(machine.work)]), environment)
    )
    assert "absolute" in refused(machine, "a.txt", remote).message
    assert remote.find(f"{machine.work}/*.txt", Purpose.TEXT, 10).total == 1


def test_over_http_no_pattern_is_even_looked_at(machine: Machine, project: Path) -> None:
    closed = make_access(machine, ReadRules(ReadSettings(), machine.environment(over_http=True, has_token=True)))
    for pattern in ("*", f"{project}/**", "\\\\host\\share\\*"):
        assert "read.over_http" in refused(machine, pattern, closed).message


@pytest.mark.parametrize(
    "pattern", ["\\\\host\\*", "//host/share/*", "/proc/*/environ", "/dev/*", "file://host/*", "a\0*"]
)
def test_shares_and_trees_of_the_system_are_refused_by_their_text(
    machine: Machine, project: Path, pattern: str
) -> None:
    wide = make_access(machine, machine.rules(ReadSettings(text_folders=["/"])))
    refused(machine, pattern, wide)


@pytest.mark.skipif(sys.platform != "linux", reason="trees of Linux")
def test_trees_of_the_system_are_not_entered_by_a_wildcard(machine: Machine) -> None:
    wide = make_access(machine, machine.rules(ReadSettings(text_folders=["/"])))
    for pattern in ("/pro[c]/version", "/pro?/self/environ", "/[ds][ey][vs]/*"):
        found = wide.find(pattern, Purpose.TEXT, 10)
        assert (found.total, set(found.skipped)) == (0, {"system files"})


def test_a_tree_that_is_too_large_is_an_error_with_the_counts(
    machine: Machine, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        put(project / "many" / f"{number:02}.csv", "")
    monkeypatch.setattr(globs, "MAX_ENTRIES", 20)
    error = refused(machine, "**/*.txt")
    assert isinstance(error, InvalidArgument)
    assert "more than 20 files and folders; 3 that match" in error.message
    monkeypatch.setattr(globs, "MAX_ENTRIES", 500_000)
    monkeypatch.setattr(globs, "MAX_FILES", 25)
    found = find(machine, "**/*.csv", limit=2)
    assert (names(found, project), found.total) == (["many/00.csv", "many/01.csv"], 25)


def test_patterns_meant_to_take_for_ever_end_at_once(machine: Machine, project: Path) -> None:
    put(project / ("a" * 250), "")
    folder = project
    for _ in range(40):
        folder = folder / "a"
    put(folder / "end.txt", "ok")
    assert find(machine, "*a" * 100 + "*b").total == 0
    assert find(machine, "[a]*" * 100 + "b").total == 0
    assert find(machine, "*a?" * 1_000 + "b").total == 0
    assert find(machine, "**/a/" * 20 + "**/b").total == 0
    assert find(machine, "**/a/" * 20 + "**/end.txt").total == 1
    assert find(machine, "**/*/" * 300 + "x").total == 0


@pytest.mark.parametrize(
    ("pattern", "total"),
    [
        *[("[", 0), ("[]", 0), ("[!]", 0), ("[z-a]*", 0), ("[[]*", 0), ("[&&~|]*", 0), ("\\*", 0), ("[a/b]*", 0)],
        *[("[a--b]*", 1), ("**a.**", 1)],
    ],
)
def test_odd_patterns_are_neither_errors_nor_warnings(
    machine: Machine, project: Path, pattern: str, total: int
) -> None:
    assert find(machine, pattern).total == total


def test_names_of_any_bytes_are_found_or_left_alone(machine: Machine, project: Path) -> None:
    put(project / "ünï\ncode.md", "ok")
    if sys.platform == "linux":
        Path(os.fsdecode(os.fsencode(project) + b"/bad\xff.md")).write_text("ok", encoding="utf-8")
    assert find(machine, "*.md").total >= 1


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="rights of POSIX")
def test_a_folder_that_cannot_be_opened_is_counted(
    machine: Machine, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = globs.open_folder

    def without_rights(path: str) -> int:
        if path.endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return opened(path)

    monkeypatch.setattr(globs, "open_folder", without_rights)
    found = find(machine, "**/*.md")
    assert (names(found, project), found.skipped) == (["docs/x.md"], {"in folders that cannot be opened": 1})


def test_a_path_through_a_file_is_a_disk_error(machine: Machine, project: Path) -> None:
    assert isinstance(refused(machine, "a.txt/b.txt"), DiskError)


@pytest.mark.skipif(sys.platform != "linux", reason="renames folders in use")
def test_swapping_a_folder_during_the_search_never_lists_outside(machine: Machine, project: Path) -> None:
    put(machine.outside / "leak.md")
    docs, aside = project / "docs", project / "aside"
    stop = threading.Event()

    def attack() -> None:
        while not stop.is_set():
            os.rename(docs, aside)
            docs.symlink_to(machine.outside)
            docs.unlink()
            os.rename(aside, docs)

    attacker = threading.Thread(target=attack)
    attacker.start()
    seen: set[str] = set()
    try:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline or not seen:
            assert time.monotonic() < deadline + 20
            for pattern in ("docs/*.md", "*/*.md", "docs"):
                try:
                    found = find(machine, pattern)
                    seen |= {os.path.basename(path) for path in found.paths}
                    # Not even how many files lie outside is told.
                    assert pattern.startswith("*") or not found.skipped.keys() - {"in folders that cannot be opened"}
                except OllamaMCPError as error:
                    assert "leak" not in str(error)
    finally:
        stop.set()
        attacker.join()
    assert seen <= {"x.md", "y.md", "z.md"}


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_a_search_closes_what_it_opened(machine: Machine, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    find(machine, "**")
    monkeypatch.setattr(globs, "MAX_ENTRIES", 3)
    refused(machine, "**")
    assert len(os.listdir("/proc/self/fd")) == before
