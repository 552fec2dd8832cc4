"""Names on disk that differ from what a call says in presentation only: blanks, hyphens, quotes, accents."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from ollama_mcp.access import Access, FolderNotAllowed, Purpose
from ollama_mcp.errors import InvalidArgument, NotAllowed
from ollama_mcp.settings.access import ReadSettings, UrlSettings
from tests.access.conftest import Machine, put
from tests.access.support import content, refusal, refused, write, writer

SCREENSHOT = "Screenshot 2026-11-27 at 3.04.05\u202fPM.png"


@pytest.mark.parametrize(
    ("on_disk", "given"),
    [
        (SCREENSHOT, SCREENSHOT.replace("\u202f", " ")),
        (unicodedata.normalize("NFD", "\u00dcberblick.png"), "\u00dcberblick.png"),
        ("Bob\u2019s \u201cbest\u201d 2024\u20132025.png", 'Bob\'s "best" 2024-2025.png'),
        ("plain name.png", "plain\u00a0name.png"),
        ("zero\u200bwidth.png", "zerowidth.png"),
        ("My\u00a0trip/day\u202f1/a b.png", "My trip/day 1/a b.png"),
    ],
)
def test_the_one_name_that_looks_alike_is_meant(machine: Machine, on_disk: str, given: str) -> None:
    path = put(machine.home / "Pictures" / on_disk, "the one")
    put(machine.home / "Pictures" / "other.png", "another")
    for text in (f"~/Pictures/{given}", (machine.home / "Pictures" / given).as_uri()):
        assert content(text, machine.rules()) == "the one"
    found = Access(machine.rules(), UrlSettings()).find(f"~/Pictures/{given}", Purpose.IMAGE, 5)
    assert found.paths == (str(path),)


def test_the_exact_name_wins(machine: Machine) -> None:
    put(machine.home / "a\u00a0b.png", "odd")
    put(machine.home / "a\u202fb.png", "odder")
    put(machine.home / "a b.png", "plain")
    assert content("~/a b.png", machine.rules()) == "plain"
    assert content("~/a\u202fb.png", machine.rules()) == "odder"


@pytest.mark.parametrize("around", [("a", "b.png"), ("x" * 100, "y" * 100 + ".png"), ("\u56fe" * 60, "\u8c61.png")])
def test_two_names_that_look_alike_are_an_error_that_shows_how_they_differ(
    machine: Machine, around: tuple[str, str]
) -> None:
    for blank in ("\u00a0", "\u202f"):
        put(machine.home / blank.join(around))
    error = refusal(f"~/{' '.join(around)}", machine.rules())
    assert isinstance(error, InvalidArgument)
    assert "\\xa0" in str(error)
    assert "\\u202f" in str(error)
    found = Access(machine.rules(), UrlSettings())
    with pytest.raises(InvalidArgument, match="u202f"):
        found.find(f"~/{' '.join(around)}", Purpose.IMAGE, 5)


def test_the_name_that_the_error_shows_opens_the_file(machine: Machine) -> None:
    for blank in ("\u00a0", "\u202f"):
        put(machine.home / f"a{blank}b.png", blank)
    shown = str(refusal("~/a b.png", machine.rules())).split("'")[5].replace("\\x", "\\u00")
    assert content(f"~/{json.loads(chr(34) + shown + chr(34))}", machine.rules()) == "\u202f"


def test_a_readable_folder_is_meant_by_a_name_that_looks_alike(machine: Machine) -> None:
    put(machine.outside / "My\u00a0Data" / "a.png", "listed")
    put(machine.outside / "My\u00a0Secrets" / "a.png")
    rules = machine.rules(ReadSettings(image_folders=[str(machine.outside / "My\u00a0Data")]))
    assert content(machine.outside / "My Data" / "a.png", rules) == "listed"
    assert isinstance(refusal(machine.outside / "My Secrets" / "a.png", rules), FolderNotAllowed)


@pytest.mark.parametrize("name", [".hidden\u00a0one/a.png", ".a\u00a0b.png"])
def test_what_may_not_be_read_is_not_found_by_a_name_that_looks_alike(machine: Machine, name: str) -> None:
    put(machine.home / name)
    assert isinstance(refusal(f"~/{name}".replace("\u00a0", " "), machine.rules()), NotAllowed)


def test_a_secret_is_no_candidate_and_a_link_leads_nowhere_else(machine: Machine) -> None:
    put(machine.work / "pyproject.toml", "")
    put(machine.work / "id_x\u00a0y")
    put(machine.outside / "target.txt")
    (machine.work / "a\u00a0link.txt").symlink_to(machine.outside / "target.txt")
    (machine.work / "a\u202flink.txt").symlink_to(machine.outside / "missing.txt")
    assert isinstance(refusal("id_x y", machine.rules(), Purpose.TEXT), NotAllowed)
    assert isinstance(refusal("a link.txt", machine.rules(), Purpose.TEXT), InvalidArgument)


def test_patterns_match_names_that_look_alike(machine: Machine) -> None:
    put(machine.work / "pyproject.toml", "")
    for name in ("My\u00a0notes/a\u202fb 1.txt", "My\u00a0notes/a b 2.txt", "My\u00a0notes/ab 3.txt"):
        put(machine.work / name)
    access = Access(machine.rules(), UrlSettings())
    for pattern in ("My notes/a b*.txt", "*/a b ?.txt", "**/a b*"):
        found = access.find(pattern, Purpose.TEXT, 5)
        assert [Path(path).name for path in found.paths] == ["a b 2.txt", "a\u202fb 1.txt"]


def test_results_go_into_the_folder_that_looks_alike(machine: Machine) -> None:
    folder = machine.outside / "My\u202fresults"
    folder.mkdir()
    access = writer(machine, machine.outside)
    assert write(access, machine.outside / "My results" / "a b.csv", b"x") == folder / "a b.csv"
    (machine.outside / "My\u00a0results").mkdir()
    assert "\\u202f" in str(refused(access, machine.outside / "My results" / "a b.csv"))
