"""A folder that was searched before: only what changed is read again, and what is gone is dropped."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from PIL import Image

from ollama_mcp.access import Access, OpenedFile, Purpose
from ollama_mcp.simulator import Simulator
from tests.cli.support import run
from tests.support import connected, data, error
from tests.work.search.client import CAT, places, ranked, reader, sent


def age(folder: Path) -> None:
    """Make the files as old as files are that nobody writes any more."""
    for path in folder.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000.5))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened, as they are opened."""
    names: list[str] = []
    open_file = Access.open_file

    def noted(self: Access, text: str, purpose: Purpose) -> OpenedFile:
        names.append(os.path.basename(text))
        return open_file(self, text, purpose)

    monkeypatch.setattr(Access, "open_file", noted)
    return names


async def found_in(client: Client, folder: Path, query: str, **asked: Any) -> dict[str, Any]:
    return await ranked(client, query, files=[str(folder)], **asked)


async def test_a_folder_that_did_not_change_is_not_read_again(simulator: Simulator, folder: Path, opened: list[str]):
    (folder / "blob.bin").write_bytes(bytes(range(256)) * 40)
    Image.new("RGB", (8, 8)).save(folder / "cat.png")
    age(folder)
    async with reader(simulator, folder) as client:
        first = await found_in(client, folder, "hammer")
        assert {"animals.md", "blob.bin", "cat.png"} <= set(opened)
        opened.clear()
        again = await found_in(client, folder, "hammer")
        other = await found_in(client, folder, "hedgehog")
    assert not opened and again == {**first, "embedded": 0}
    assert other["rows"][0]["excerpt"].startswith("# Animals A hedgehog") or "hedgehog" in other["rows"][0]["excerpt"]


async def test_the_next_process_reads_only_the_files_whose_places_it_shows(
    simulator: Simulator, folder: Path, opened: list[str]
):
    for number in range(30):
        (folder / f"other{number}.md").write_text(f"Nothing number {number} of interest.")
    age(folder)
    async with reader(simulator, folder) as client:
        first = await found_in(client, folder, "hammer", mode="words", model="")
    opened.clear()
    async with reader(simulator, folder) as client:
        again = await found_in(client, folder, "hammer", mode="words", model="")
    assert opened == ["tools.txt"] and again == first


async def test_what_changed_is_read_again_and_what_was_deleted_is_not_found(
    simulator: Simulator, folder: Path, opened: list[str]
):
    age(folder)
    async with reader(simulator, folder) as client:
        await found_in(client, folder, "hammer")
        status = (folder / "tools.txt").stat()
        (folder / "tools.txt").write_text("A wrench drives bolts into metal")
        # Neither its size nor its time tells.
        os.utime(folder / "tools.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
        (folder / "money.md").unlink()
        opened.clear()
        found = await found_in(client, folder, "wrench")
    assert set(opened) == {"tools.txt"} and places(found)[0] == f"{folder}/tools.txt:1"
    assert not any("money.md" in place for place in places(found)) and found["embedded"] == 1


async def test_a_file_that_is_still_written_is_read_each_time(simulator: Simulator, folder: Path, opened: list[str]):
    age(folder)
    hour = 3_600 * 10**9
    ahead = (folder / "tools.txt").stat().st_ctime_ns + hour
    os.utime(folder / "tools.txt", ns=(ahead, ahead))
    async with reader(simulator, folder) as client:
        for _ in range(2):
            opened.clear()
            await found_in(client, folder, "hammer")
    assert opened == ["tools.txt"]


async def test_a_file_that_changes_during_the_search_is_searched_anew(
    simulator: Simulator, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    age(folder)
    async with reader(simulator, folder) as client:
        await found_in(client, folder, "hammer", mode="words", model="")
    stamps = Access.stamps
    changed: list[str] = []

    def late(self: Access, paths: list[str], purpose: Purpose) -> dict[str, str]:
        found = stamps(self, paths, purpose)
        if not changed:
            changed.append("once")
            (folder / "tools.txt").write_text("Here is a screwdriver, and a hammer too.")
        return found

    monkeypatch.setattr(Access, "stamps", late)
    async with reader(simulator, folder) as client:
        found = await found_in(client, folder, "hammer", mode="words", model="")
    assert found["rows"][0]["excerpt"] == "Here is a screwdriver, and a hammer too."


async def test_the_index_of_a_folder_that_is_gone_is_dropped(simulator: Simulator, folder: Path):
    gone = folder / "gone"
    gone.mkdir()
    (gone / "a.md").write_text("A walrus lives in the north.")
    # What another file has too is kept.
    (gone / "b.md").write_text((folder / "tools.txt").read_text())
    age(folder)
    async with reader(simulator, folder) as client:
        await found_in(client, folder, "walrus")
    before = _counts(folder)
    shutil.rmtree(gone)
    async with reader(simulator, folder) as client:
        found = await found_in(client, folder, "hammer")
    # A file each; and the vector and the words of the one passage that nobody has any more.
    after = _counts(folder)
    assert (before[0] - after[0], before[1] - after[1]) == (2, 2 - 1)
    assert found["embedded"] == 0 and places(found)[0] == f"{folder}/tools.txt:1"


async def test_what_one_may_not_read_is_not_found_though_another_has_searched_it(simulator: Simulator, folder: Path):
    private = folder / "private"
    private.mkdir()
    (private / "secret.md").write_text("The password of the vault is swordfish.")
    age(folder)
    async with reader(simulator, folder) as client:
        assert "swordfish" in str(await found_in(client, folder, "swordfish"))
    shared = folder / "shared"
    shared.mkdir()
    (shared / "a.md").write_text(CAT)
    store = {"path": str(folder.parent / "store.sqlite3")}
    async with connected(simulator.url, read={"text_folders": [str(shared)]}, store=store) as client:
        refused = {"query": "swordfish", "files": [str(private)], "mode": "words"}
        error(await client.call_tool("ollama_search", refused), "not_allowed")
        found = data(await client.call_tool("ollama_search", {**refused, "files": [str(shared)]}))
        assert found["rows"] == []
        (shared / "link.md").symlink_to(private / "secret.md")
        found = data(await client.call_tool("ollama_search", {**refused, "files": [str(shared)]}))
        assert found["rows"] == [] and found["passages"] == 1


async def test_vectors_that_were_evicted_are_made_again_from_the_files(simulator: Simulator, folder: Path):
    age(folder)
    async with reader(simulator, folder) as client:
        first = await found_in(client, folder, "hammer")
    with closing(sqlite3.connect(folder.parent / "store.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM embedding_keys")
        connection.execute("DELETE FROM vectors")
    asked = len(sent(simulator))
    async with reader(simulator, folder) as client:
        again = await found_in(client, folder, "hammer")
    assert again["rows"] == first["rows"] and again["embedded"] == first["embedded"] and len(sent(simulator)) > asked


async def test_a_purge_of_the_store_forgets_the_files(simulator: Simulator, folder: Path):
    age(folder)
    async with reader(simulator, folder) as client:
        first = await found_in(client, folder, "hammer")
    assert _counts(folder)[0] == 3
    purged = await run("store", "purge", "--set", f"store.path={folder.parent}/store.sqlite3")
    assert purged.code == 0 and _counts(folder) == (0, 0), purged.err
    async with reader(simulator, folder) as client:
        assert await found_in(client, folder, "hammer") == first


def _counts(folder: Path) -> tuple[int, int]:
    """How many files are known, and of how many texts something is kept beside queries, in the first space."""
    with closing(sqlite3.connect(folder.parent / "store.sqlite3")) as connection:
        (files,) = connection.execute("SELECT count(*) FROM searched_files").fetchone()
        words = "SELECT count(*) FROM embedding_keys k JOIN spaces s ON s.id = k.space WHERE s.name LIKE 'words%'"
        return files, connection.execute(words).fetchone()[0]
