"""Where the store lies, and what becomes of a file that cannot be used."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ollama_mcp.errors import DiskError
from ollama_mcp.settings import Settings
from ollama_mcp.store import Store
from ollama_mcp.store.tables import APPLICATION_ID, MIGRATIONS
from tests.store.support import begun, child, files_in, fill, finish, is_there, opened, query, rows_of

PAGE = 4_096

USING = """
async def main():
    store = Store(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    run = await store.batches.open(sys.argv[2], total=None, metadata={})
    for row in range(100):
        await run.save(row, sys.argv[2].encode(), error=False)
    await store.aclose()
    print(run.done)
asyncio.run(main())
"""


def of(**section: object) -> Store:
    return Store.from_settings(Settings.model_validate({"store": section}))


def count(store: Store) -> None:
    store.usage.count("m", cloud=False, prompt_tokens=1, tokens=2, file_tokens=3, seconds=4.0)


async def counted(store: Store) -> int:
    count(store)
    return (await store.usage.totals()).all_time.local_total.calls


async def made(path: Path, rows: int = 3) -> None:
    """A store with a run of some rows, closed."""
    async with opened(path) as store:
        await fill(await begun(store), range(rows))


def spoil_from(path: Path, start: int) -> None:
    """Overwrite a file from a place on."""
    content = path.read_bytes()
    path.write_bytes(content[:start] + b"\xa5" * (len(content) - start))


def spoil_table(path: Path, name: str) -> None:
    """Overwrite the first page of a table."""
    ((page,),) = query(path, "SELECT rootpage FROM sqlite_schema WHERE name = ?", name)
    content = path.read_bytes()
    path.write_bytes(content[: PAGE * (page - 1)] + b"\xa5" * PAGE + content[PAGE * page :])


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)


def content_of(path: Path) -> bytes | None:
    """The bytes of a file; None where there is none."""
    return path.read_bytes() if path.is_file() else None


def rights_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def aside(path: Path) -> list[Path]:
    """The broken stores that were set aside."""
    return [file for file in path.parent.glob("*.broken-*") if not file.name.endswith(("-wal", "-shm"))]


def delete(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def older(path: Path, steps: int) -> None:
    """A store as the first so many versions made it."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in [statement for step in MIGRATIONS[:steps] for statement in step]:
            connection.execute(statement)
        connection.execute("INSERT INTO usage VALUES ('m', 0, 7, 0, 0, 0, 0)")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={steps}")


def foreign(path: Path) -> None:
    path.parent.mkdir()
    query(path, "CREATE TABLE of_another_program (a)")


def newer(path: Path) -> None:
    older(path, len(MIGRATIONS))
    query(path, f"PRAGMA user_version={len(MIGRATIONS) + 1}")


def text(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"Dear diary,\n" * 500)


def a_folder(path: Path) -> None:
    path.mkdir(parents=True)


def no_folder(path: Path) -> None:
    path.parent.write_bytes(b"a file where the folder should be")


UNUSABLE: dict[Callable[[Path], None], str] = {
    foreign: r"database of another program",
    newer: r"made by a newer ollama-mcp-server",
    text: r"it is not an SQLite file",
    a_folder: r"Is a directory",
    no_folder: r"File exists|Not a directory",
}
unusable = pytest.mark.parametrize("spoil", UNUSABLE, ids=lambda spoil: spoil.__name__)


async def test_a_store_that_is_never_used_makes_nothing(path: Path) -> None:
    async with opened(path) as store:
        assert store.path == path
    assert not is_there(path.parent)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
async def test_only_the_user_may_read_it(path: Path) -> None:
    async with opened(path) as store:
        await fill(await begun(store), range(3))
        assert [rights_of(path.parent), *(rights_of(Path(f"{path}{end}")) for end in ("", "-wal", "-shm"))] == [
            0o700,
            0o600,
            0o600,
            0o600,
        ]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
async def test_a_file_that_others_could_read_is_made_private(path: Path) -> None:
    await made(path)
    os.chmod(path, 0o644)
    await made(path)
    assert rights_of(path) == 0o600


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
@pytest.mark.parametrize("spoil", [foreign, text], ids=lambda spoil: spoil.__name__)
async def test_a_file_that_is_no_store_keeps_its_rights(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path)
    os.chmod(path, 0o644)
    async with opened(path) as store:
        with pytest.raises(DiskError):
            await begun(store)
    assert rights_of(path) == 0o644


def test_the_path_is_the_users_choice_or_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    monkeypatch.setenv("HOME", "/home/me")
    path = of().path
    assert path is not None and path.parts[-2:] == ("ollama-mcp-server", "store.sqlite3")
    assert of(path="~/mine.db").path == Path("/home/me/mine.db")
    assert of(path="mine.db").path == Path(os.path.abspath("mine.db"))


def test_where_nothing_may_be_written_it_is_in_memory() -> None:
    assert of(path=":memory:").path is None
    assert Store.from_settings(Settings(read_only=True)).path is None


async def test_a_closed_store_opens_again(store: Store) -> None:
    await fill(await begun(store), range(3))
    await store.aclose()
    assert (await begun(store)).done == 3


@pytest.mark.parametrize("steps", range(1, len(MIGRATIONS) + 1))
async def test_an_older_file_is_brought_to_the_present_form_with_what_it_holds(path: Path, steps: int) -> None:
    older(path, steps)
    async with opened(path) as store:
        assert await counted(store) == 8
        await store.embeddings.put("m:0", [(b"text", b"0000")])
        await fill(await begun(store), range(3))
        assert await store.embeddings.get("m:0", [b"text"]) == {b"text": b"0000"}
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


@unusable
async def test_what_only_counts_goes_on_in_memory_with_one_warning(
    path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    spoil(path)
    before = content_of(path)
    async with opened(path) as store:
        assert [await counted(store), await counted(store)] == [1, 2]
        await store.models.record_token_estimate("ab", 100, 130)
        assert await store.models.token_ratio("ab") == pytest.approx(1.3)
        await store.embeddings.put("m:0", [(b"text", b"0000")])
        assert await store.embeddings.get("m:0", [b"text"]) == {b"text": b"0000"}
    (warning,) = caplog.messages
    assert "store.sqlite3" in warning and "store.path" in warning
    assert content_of(path) == before


@unusable
async def test_a_batch_is_told_why_it_has_no_checkpoint(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path)
    async with opened(path) as store:
        await counted(store)
        with pytest.raises(DiskError, match=UNUSABLE[spoil]) as caught:
            await begun(store)
        assert len(str(caught.value)) <= 400
        assert "store.path" in caught.value.next_step


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
async def test_a_pipe_in_place_of_the_file_is_refused_and_hangs_nobody(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    async with asyncio.timeout(20), opened(path) as store:
        assert await counted(store) == 1
        with pytest.raises(DiskError, match="pipe") as caught:
            await begun(store)
    assert "store.path" in caught.value.next_step
    (warning,) = caplog.messages
    assert "pipe" in warning


async def test_a_batch_works_as_soon_as_the_file_can_be_used(path: Path) -> None:
    no_folder(path)
    async with opened(path) as store:
        await counted(store)
        with pytest.raises(DiskError):
            await begun(store)
        os.unlink(path.parent)
        run = await begun(store)
        await fill(run, range(3))
    assert query(path, "SELECT count(*) FROM records") == [(3,)]


async def test_a_file_of_zeros_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(path, bytes(3 * PAGE))
    await made(path)
    (kept,) = aside(path)
    assert content_of(kept) == bytes(3 * PAGE)
    (warning,) = caplog.messages
    assert str(path) in warning and str(kept) in warning
    assert query(path, "SELECT count(*) FROM records") == [(3,)]


async def test_an_empty_file_becomes_a_store(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(path, b"")
    await made(path)
    assert files_in(path.parent) == ["store.sqlite3"]
    assert not caplog.messages


@pytest.mark.parametrize("start", [100, PAGE], ids=["first page", "later pages"])
async def test_a_broken_store_is_set_aside_and_a_new_one_begun(
    path: Path, start: int, caplog: pytest.LogCaptureFixture
) -> None:
    await made(path, 2_000)
    spoil_from(path, start)
    async with opened(path) as store:
        await counted(store)
        run = await begun(store)
        await fill(run, range(3))
        assert [row for row, _, _ in await rows_of(run)] == [0, 1, 2]
    (kept,) = aside(path)
    assert b"\xa5" * PAGE in (content_of(kept) or b"")
    assert [kept.name in message for message in caplog.messages] == [True]


async def test_a_batch_whose_store_breaks_says_so_and_begins_anew_with_the_next_call(path: Path) -> None:
    await made(path, 2_000)
    # The schema is whole, and has more than a page.
    spoil_table(path, "runs")
    async with opened(path) as store:
        with pytest.raises(DiskError, match=r"was broken and is set aside.*Make the call again"):
            await begun(store)
        assert (await begun(store)).done == 0


async def test_a_broken_file_that_cannot_be_set_aside_is_left(path: Path) -> None:
    write(path, bytes(PAGE))
    os.mkdir(f"{path}.lock")
    async with opened(path) as store:
        assert await counted(store) == 1
        with pytest.raises(DiskError, match=r"not an SQLite file"):
            await begun(store)
    assert files_in(path.parent) == ["store.sqlite3", "store.sqlite3.lock"]


@pytest.mark.parametrize("suffixes", [("",), ("", "-wal", "-shm")], ids=["the file", "all of them"])
async def test_a_file_that_is_deleted_while_in_use_is_made_anew(path: Path, suffixes: tuple[str, ...]) -> None:
    async with opened(path) as store:
        run = await begun(store)
        await fill(run, range(3))
        delete(path, *suffixes)
        with pytest.raises(DiskError, match=r"no longer in the store"):
            await run.save(3, b"lost", error=False)
        run = await begun(store)
        await fill(run, range(5))
    assert query(path, "SELECT count(*) FROM records") == [(5,)]


async def test_a_file_that_takes_the_place_of_another_is_used_and_not_mixed_with_it(path: Path) -> None:
    other = path.with_name("other.sqlite3")
    await made(other, 7)
    async with opened(path) as store:
        run = await begun(store)
        await fill(run, range(3))
        # As SQLite asks it of who moves its files: none of the old one's companions stays.
        delete(path, "-wal", "-shm")
        os.replace(other, path)
        with pytest.raises(DiskError, match=r"no longer in the store"):
            await rows_of(run)
        assert (await begun(store)).done == 7
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_write_waits_for_another_process_that_writes(path: Path) -> None:
    async with opened(path) as store:
        run = await begun(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            saving = asyncio.create_task(run.save(1, b"one", error=False))
            assert await asyncio.wait({saving}, timeout=0.1) == (set(), {saving})
            other.execute("COMMIT")
            await saving
    assert query(path, "SELECT count(*) FROM records") == [(1,)]


@pytest.mark.slow
async def test_a_lock_that_stays_is_told_to_a_batch_and_costs_no_count(path: Path) -> None:
    async with opened(path) as store:
        run = await begun(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DiskError, match=r"another process has kept it locked"):
                await run.save(1, b"one", error=False)
            assert await counted(store) == 1
            other.execute("COMMIT")
        assert await counted(store) == 2


@pytest.mark.parametrize("broken", [False, True], ids=["a new file", "a broken file"])
async def test_several_processes_open_the_file_at_the_same_moment(path: Path, broken: bool) -> None:
    if broken:
        write(path, bytes(PAGE))
    with child(USING, path, "a") as a, child(USING, path, "b") as b, child(USING, path, "c") as c:
        processes = (a, b, c)
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [finish(process) for process in processes] == ["100\n"] * 3
    assert len(aside(path)) == int(broken)
    async with opened(path) as store:
        for key in "abc":
            assert [kept for _, kept, _ in await rows_of(await begun(store, key))] == [key.encode()] * 100
