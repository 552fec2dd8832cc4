"""The `files` of a call: what is read, what is not and why, and how it goes into a prompt."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ollama_mcp.access import Access, FolderNotAllowed, ReadRules, RuntimeEnvironment
from ollama_mcp.errors import InvalidArgument, NotAllowed, OllamaMCPError
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.settings.access import ReadSettings, UrlSettings
from ollama_mcp.settings.model import LimitSettings, Settings
from ollama_mcp.work.files import Document, ReadResult, read_files, receipts
from tests.access.fake_network import PUBLIC, Detour, Names, Site, answer, listening
from tests.media.document_samples import pdf
from tests.media.image_samples import CANARY, drawing, saved

LINES = "".join(f"line {number}\n" for number in range(1, 101))
SETTINGS = Settings()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of text that may be read, with some that may not; images may be read in all of home."""
    docs = tmp_path / "home" / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "a.py").write_text(LINES, encoding="utf-8")
    (docs / "b.py").write_text("b = 1\n", encoding="utf-8")
    (docs / "sub" / "c.txt").write_bytes("Käse\r\nmit Löchern\r".encode("latin-1"))
    (docs / "data.bin").write_bytes(b"\0\1\2" + CANARY.encode())
    (docs / "logo.png").write_bytes(saved(drawing(), "PNG"))
    (docs / "server.key").write_text(CANARY, encoding="utf-8")
    (tmp_path / "home" / "cat.png").write_bytes(saved(drawing(), "PNG"))
    (tmp_path / "home" / "fake.png").write_text(CANARY, encoding="utf-8")
    return docs


@pytest.fixture
def access(folder: Path) -> Access:
    home = str(folder.parent)
    facts = RuntimeEnvironment(home=home, working_folder=home)
    return Access(ReadRules(ReadSettings(text_folders=[str(folder)]), facts), UrlSettings())


def limited(**limits: int) -> Settings:
    return Settings(limits=LimitSettings(**limits))


async def read(access: Access, *specs: str | Path, settings: Settings = SETTINGS) -> ReadResult:
    reading = await read_files(access, [str(spec) for spec in specs], settings)
    assert CANARY not in "\n".join(receipts(reading, estimate_tokens))
    return reading


async def refusal(access: Access, *specs: str | Path, settings: Settings = SETTINGS) -> OllamaMCPError:
    with pytest.raises(OllamaMCPError) as caught:
        await read_files(access, [str(spec) for spec in specs], settings)
    assert CANARY not in str(caught.value)
    assert len(str(caught.value)) <= 400
    return caught.value


def places(reading: ReadResult) -> list[tuple[str, int, int]]:
    return [(os.path.basename(found.path), found.first_line, found.last_line) for found in reading.documents]


async def test_a_file_is_read_with_its_lines_and_size(access: Access, folder: Path) -> None:
    reading = await read(access, folder / "a.py")
    assert reading.documents == [Document(str(folder / "a.py"), LINES, 1, 100, len(LINES), "utf-8", "text")]
    assert (reading.images, reading.unread) == ([], [])


async def test_ranges_of_lines_are_read(access: Access, folder: Path) -> None:
    path = folder / "a.py"
    reading = await read(access, f"{path}:10-12", f"{path}:99-", f"{path}:50", f"file://{path}:12-13")
    assert places(reading) == [("a.py", 10, 13), ("a.py", 50, 50), ("a.py", 99, 100)]
    assert reading.documents[0].text == "line 10\nline 11\nline 12\nline 13\n"


async def test_a_range_that_goes_beyond_the_end_gives_the_lines_there_are(access: Access, folder: Path) -> None:
    assert places(await read(access, f"{folder}/a.py:90-500")) == [("a.py", 90, 100)]


async def test_a_range_behind_the_end_is_unread_and_the_others_are_not(access: Access, folder: Path) -> None:
    reading = await read(access, f"{folder}/a.py:1-2", f"{folder}/a.py:500-600")
    assert places(reading) == [("a.py", 1, 2)]
    assert "has 100 lines; 500-600 starts after its end" in reading.unread[0].reason
    assert "has 100 lines" in (await refusal(access, f"{folder}/a.py:101")).message


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
async def test_a_file_that_really_has_such_a_name_wins(access: Access, folder: Path) -> None:
    (folder / "a.py:10").write_text("real\n", encoding="utf-8")
    (folder / "x[1].txt").write_text("brackets\n", encoding="utf-8")
    reading = await read(access, f"{folder}/a.py:10", f"{folder}/x[1].txt")
    assert [found.text for found in reading.documents] == ["real\n", "brackets\n"]


async def test_a_file_that_is_named_twice_is_read_once(access: Access, folder: Path) -> None:
    (folder / "alias.py").symlink_to(folder / "b.py")
    reading = await read(access, folder / "b.py", folder / "alias.py", f"{folder}/b.py:1", f"{folder}/*.py")
    assert places(reading) == [("b.py", 1, 1), ("a.py", 1, 100)]


async def test_a_glob_is_sorted_and_stands_where_it_was_given(access: Access, folder: Path) -> None:
    reading = await read(access, folder / "sub" / "c.txt", f"{folder}/*.py:1-2")
    assert places(reading) == [("c.txt", 1, 2), ("a.py", 1, 2), ("b.py", 1, 1)]
    assert reading.documents[0].text == "Käse\nmit Löchern\n"


async def test_a_folder_gives_its_text_and_says_what_it_passed_over(access: Access, folder: Path) -> None:
    reading = await read(access, folder)
    assert [name for name, _, _ in places(reading)] == ["a.py", "b.py", "c.txt"]
    assert reading.images == []
    why = " ".join(unread.reason for unread in reading.unread)
    assert "skipped, not text: 2" in why
    assert "[not_allowed] left out: 1 " in why


async def test_images_go_the_images_way_when_they_are_meant(access: Access, folder: Path) -> None:
    reading = await read(access, folder / "logo.png", f"{folder}/*.png", folder / "b.py", folder.parent / "cat.png")
    assert reading.images == [str(folder / "logo.png"), str(folder.parent / "cat.png")]
    assert places(reading) == [("b.py", 1, 1)]
    # What is only called an image is under the rules of text.
    assert isinstance(await refusal(access, folder.parent / "fake.png"), FolderNotAllowed)
    assert isinstance(await refusal(access, folder.parent / "none.png"), FolderNotAllowed)


async def test_one_that_cannot_be_read_does_not_keep_the_others(access: Access, folder: Path) -> None:
    missing, key, outside = folder / "aa.py", folder / "server.key", folder.parent / "x.txt"
    reading = await read(access, missing, folder / "b.py", key, folder / "data.bin", outside, f"{folder}/*.zzz")
    assert places(reading) == [("b.py", 1, 1)]
    reasons = {os.path.basename(unread.spec): unread.reason for unread in reading.unread}
    assert reasons["aa.py"].startswith("[invalid_argument] There is no file")
    assert reasons["server.key"].startswith("[not_allowed]")
    assert "NUL bytes" in reasons["data.bin"]
    assert "outside the folders" in reasons["x.txt"]
    assert "matches no file" in reasons["*.zzz"]


async def test_the_error_of_the_only_file_reaches_the_caller(access: Access, folder: Path) -> None:
    assert isinstance(await refusal(access, folder.parent / "x.txt"), FolderNotAllowed)
    assert isinstance(await refusal(access, folder / "server.key"), NotAllowed)
    assert "NUL bytes" in (await refusal(access, folder / "data.bin")).message
    assert "0 found; left out: 1 " in (await refusal(access, f"{folder}/*.key")).message
    assert "not a line range" in (await refusal(access, f"{folder}/a.py:0")).message
    assert "No file was given" in (await refusal(access)).message


async def test_when_nothing_is_read_the_first_reasons_and_the_count_are_told(access: Access, folder: Path) -> None:
    error = await refusal(access, folder / "n1.txt", folder / "server.key", f"{folder}/*.bin", f"{folder}/*.zzz")
    assert re.search(r"0 of 4 files were read: There is no file .*n1.txt'.*server.key'.* And 1 more\.", error.message)
    assert error.message.endswith(" Not text: 1.")
    assert "0 of 1 files were read: Not text: 1." in (await refusal(access, f"{folder}/*.bin")).message
    # A folder that the user may allow comes first, since a form can ask for it.
    asked = await refusal(access, folder / "n1.txt", folder.parent / "x.txt")
    assert isinstance(asked, FolderNotAllowed)


async def test_more_files_than_a_call_may_have_are_refused_with_the_counts(access: Access, folder: Path) -> None:
    for number in range(12):
        (folder / "sub" / f"{number}.txt").write_text("x", encoding="utf-8")
    error = await refusal(access, f"{folder}/sub/*", settings=limited(files=5))
    assert error.message.startswith("13 files were given; at most 5")
    assert "13 files" in (await refusal(access, f"{folder}/sub/*", settings=limited(files=12))).message
    assert len((await read(access, f"{folder}/sub/*", settings=limited(files=13))).documents) == 13
    assert "3 files" in (await refusal(access, "a", "b", "c", settings=limited(files=2))).message


async def test_more_text_than_a_call_may_have_is_refused(access: Access, folder: Path) -> None:
    (folder / "b.py").write_text(LINES, encoding="utf-8")
    error = await refusal(access, f"{folder}/*.py", settings=limited(prompt_bytes=1_000))
    assert "limits.prompt_bytes" in error.message


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
async def test_lines_of_a_file_too_large_to_be_read_whole_are_read(access: Access, folder: Path, encoding: str) -> None:
    big = folder / "big.log"
    big.write_bytes("".join(f"zeile {number} schön\r\n" for number in range(1, 90_001)).encode(encoding))
    reading = await read(access, f"{big}:80000-80001", f"{big}:5", f"{big}:90000-", settings=limited(file_bytes=9_000))
    assert [found.text for found in reading.documents] == [
        "zeile 5 schön\n",
        "zeile 80000 schön\nzeile 80001 schön\n",
        "zeile 90000 schön\n",
    ]
    assert {found.encoding for found in reading.documents} == {
        {"utf-8": "utf-8", "latin-1": "cp1252", "utf-16": "utf-16-le"}[encoding]
    }
    error = await refusal(access, big, settings=limited(file_bytes=9_000))
    assert "larger than 0.009 MB (setting limits.file_bytes)" in error.message
    assert "a range of its lines" in error.next_step
    too_many = await refusal(access, f"{big}:1-8000", settings=limited(file_bytes=9_000))
    assert "limits.file_bytes" in too_many.message
    assert "has 90,000 lines" in (await refusal(access, f"{big}:90001", settings=limited(file_bytes=9_000))).message


async def test_a_cr_at_the_edge_of_what_is_read_at_once_is_one_line_break(access: Access, folder: Path) -> None:
    big = folder / "edge.log"
    big.write_bytes(b"x" * ((1 << 20) - 1) + b"\r\nsecond\rthird\r")
    small = limited(file_bytes=9_000)
    assert [found.text for found in (await read(access, f"{big}:2-9", settings=small)).documents] == ["second\nthird\n"]


async def test_large_files_that_are_no_text_are_refused(access: Access, folder: Path) -> None:
    small = limited(file_bytes=9_000)
    (folder / "zeros.txt").write_bytes(b"text\n" * 20_000 + bytes(9_000))
    assert "NUL bytes" in (await refusal(access, f"{folder}/zeros.txt:20001", settings=small)).message
    (folder / "core").write_bytes(b"\x7fELF" + bytes(90_000))
    assert "a program (ELF)" in (await refusal(access, f"{folder}/core:1-2", settings=small)).message


async def test_a_pdf_is_read_by_the_lines_of_its_text(access: Access, folder: Path) -> None:
    (folder / "report.pdf").write_bytes(pdf(["Hello one", "Hello two"]))
    reading = await read(access, f"{folder}/report.pdf:4-5")
    assert [found.text for found in reading.documents] == ["[page 2 of 2]\nHello two\n"]
    assert "lines 4-5 of the text in the PDF" in receipts(reading, len)[0]


def going_online(access: Access, site: Site) -> Access:
    names = Names({"example.com": [[PUBLIC]]})
    return replace(access, urls=UrlSettings(enabled=True), resolver=names, network=Detour({PUBLIC: site}))


async def test_an_address_is_fetched_where_that_is_allowed(access: Access, folder: Path) -> None:
    page = b"<!doctype html><body><h1>Title</h1><p>Text</body>"
    assert isinstance(await refusal(access, "https://example.com/a"), NotAllowed)
    async with listening({"/a?secret=1": answer(page)}) as site:
        online = going_online(access, site)
        reading = await read(online, "http://example.com/a?secret=1", folder / "b.py")
    assert [(found.path, found.kind) for found in reading.documents] == [
        ("http://example.com/a", "html"),
        (str(folder / "b.py"), "text"),
    ]
    assert reading.documents[0].text == "# Title\n\nText\n\n"


async def test_an_address_of_an_image_goes_the_images_way(access: Access) -> None:
    async with listening({"/a": answer(saved(drawing(), "PNG"))}) as site:
        online = going_online(access, site)
        assert (await read(online, "http://example.com/a")).images == ["http://example.com/a"]


async def test_a_call_that_is_cancelled_stops_reading(access: Access, folder: Path) -> None:
    with (folder / "endless.log").open("wb") as file:
        file.write(b"x\n" * 500_000)
    task = asyncio.ensure_future(read(access, f"{folder}/endless.log:499999", settings=limited(file_bytes=1_000)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_empty_file_is_read_and_said_to_be_empty(access: Access, folder: Path) -> None:
    (folder / "empty.txt").write_bytes(b"")
    reading = await read(access, folder / "empty.txt")
    assert reading.documents[0].text == ""
    assert (
        receipts(reading, estimate_tokens) == [f"read {folder}/empty.txt: empty"]
        or "empty" in receipts(reading, len)[0]
    )
    assert isinstance(await refusal(access, f"{folder}/empty.txt:3"), InvalidArgument)
