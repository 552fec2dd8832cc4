"""Checkpoints: runs of batches, their rows, and that they are gone when they are removed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from ollama_mcp.errors import DiskError
from ollama_mcp.store import BatchRun, RowResult, Store
from tests.store.support import Place, begun, bytes_in, child, fill, opened, record, rows_of

SAVING = """
async def main():
    store = store_of(sys.argv[1])
    run = await store.batches.open("key", total=None, metadata={})
    rows = iter(range(1_000_000))
    async def saver():
        for row in rows:
            await run.save(row, b"row %d" % row, error=False)
            print(row, flush=True)
    await asyncio.gather(*(saver() for _ in range(8)))
asyncio.run(main())
"""


@pytest.fixture
async def run(store: Store) -> BatchRun:
    return await begun(store)


async def test_a_new_run_has_nothing(store: Store) -> None:
    run = await store.batches.open("key", total=7, metadata={"input": "rows.csv"})
    assert (run.key, run.total, run.metadata, run.done, run.failed) == ("key", 7, {"input": "rows.csv"}, 0, 0)
    assert await rows_of(run) == []
    assert await run.missing(0, 3) == [0, 1, 2, 3]


async def test_a_run_goes_on_where_it_stopped(place: Place) -> None:
    async with opened(place) as store:
        run = await store.batches.open("key", total=None, metadata={"began": 1})
        await run.save(4, b"four", error=False)
        await run.save(2, b"two", error=True)
    async with opened(place) as store:
        run = await store.batches.open("key", total=9, metadata={"began": 2})
        assert (run.total, run.metadata, run.done, run.failed) == (9, {"began": 1}, 1, 1)
        assert await run.missing(1, 5) == [1, 3, 5]
        assert [row async for row in run.records()] == [RowResult(2, b"two", True), RowResult(4, b"four", False)]
        assert (await store.batches.open("key", total=None, metadata={})).total == 9


async def test_runs_of_other_keys_are_apart(store: Store, run: BatchRun) -> None:
    other = await begun(store, "other")
    await run.save(1, b"mine", error=False)
    await other.save(1, b"theirs", error=False)
    await run.remove()
    assert await rows_of(other) == [(1, b"theirs", False)]


async def test_a_failure_gives_way_to_what_comes_later_and_a_success_to_nothing(run: BatchRun) -> None:
    await run.save(1, b"bad", error=True)
    await run.save(1, b"worse", error=True)
    assert (run.done, run.failed) == (0, 1)
    assert await rows_of(run) == [(1, b"worse", True)]
    await run.save(1, b"good", error=False)
    await run.save(1, b"bad again", error=True)
    await run.save(1, b"another", error=False)
    assert (run.done, run.failed) == (1, 0)
    assert await rows_of(run) == [(1, b"good", False)]


async def test_rows_saved_at_the_same_moment_are_all_kept(store: Store, run: BatchRun) -> None:
    await asyncio.gather(*(run.save(row, record(row), error=row % 10 == 0) for row in range(2_000)))
    assert (run.done, run.failed) == (1_800, 200)
    again = await begun(store)
    assert (again.done, again.failed) == (1_800, 200)
    assert await rows_of(run) == [(row, record(row), row % 10 == 0) for row in range(2_000)]


async def test_one_row_saved_twice_at_the_same_moment_counts_once(run: BatchRun) -> None:
    await asyncio.gather(*(run.save(5, b"same", error=failed) for failed in (True, False, True, False)))
    assert (run.done, run.failed) == (1, 0)


async def test_a_saver_that_is_cancelled_does_not_disturb_the_others(run: BatchRun) -> None:
    tasks = [asyncio.create_task(run.save(row, record(row), error=False)) for row in range(20)]
    await asyncio.sleep(0)
    tasks[7].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [row for row, outcome in enumerate(outcomes) if outcome is not None] == [7]
    assert set(range(20)) - {7} <= {row for row, _, _ in await rows_of(run)}


async def test_savers_end_with_the_event_loop(place: Place) -> None:
    # As at the end of a server: every task is cancelled, the one that writes for the others too.
    async with opened(place) as store:
        run = await begun(store)
        before = asyncio.all_tasks()
        saver = asyncio.create_task(run.save(1, b"one", error=False))
        # One turn for the saver, one for the writer that it starts.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        (writer,) = asyncio.all_tasks() - before - {saver}
        writer.cancel()
        with suppress(asyncio.CancelledError):
            await saver
        assert saver.cancelled()
        await run.save(2, b"two", error=False)
        assert run.done == 1


async def test_failures_are_listed_in_pages(run: BatchRun) -> None:
    for row in range(10):
        await run.save(row, b"", error=row % 3 == 0)
    assert await run.failures() == [0, 3, 6, 9]
    assert await run.failures(after=0, count=2) == [3, 6]
    assert await run.failures(after=9) == []


async def test_records_come_in_order_however_many_and_large_they_are(run: BatchRun) -> None:
    await fill(run, range(600, 1_300), 10)
    await run.save(3, b"L" * 9_000_000, error=False)
    await fill(run, range(4, 600), 10)
    rows = [(row, len(kept)) for row, kept, _ in await rows_of(run)]
    assert rows == [(3, 9_000_000), *((row, 10) for row in range(4, 1_300))]


async def test_records_come_whatever_lies_between_them(run: BatchRun) -> None:
    for row in (0, 7, 506, 507, 5_000, 5_600):
        await run.save(row, b"row", error=False)
    assert [row async for row, *_ in run.records()] == [0, 7, 506, 507, 5_000, 5_600]


async def test_reading_holds_up_nobody(store: Store, run: BatchRun) -> None:
    await fill(run, range(1_200))
    seen: list[int] = []
    async for row, _, _ in run.records():
        seen.append(row)
        if row == 700:
            await run.save(5_000, b"late", error=False)
    assert seen == [*range(1_200), 5_000]


async def test_a_reset_run_begins_anew(store: Store, run: BatchRun) -> None:
    await fill(run, range(1_500))
    await run.reset()
    assert (run.done, run.failed) == (0, 0)
    assert await run.missing(0, 2) == [0, 1, 2]
    await run.save(1, b"again", error=False)
    assert await rows_of(await begun(store)) == [(1, b"again", False)]


async def test_a_removed_run_leaves_no_word_in_any_file(file_store: Store, path: Path) -> None:
    run = await file_store.batches.open("key", total=None, metadata={"of": "SECRET"})
    await asyncio.gather(*(run.save(row, b"SECRET" * 500, error=False) for row in range(2_500)))
    before = bytes_in(path.parent)
    assert any(b"SECRET" in content for content in before)
    await run.remove()
    after = bytes_in(path.parent)
    assert not any(b"SECRET" in content for content in after)
    assert sum(map(len, after)) < sum(map(len, before)) / 10


async def test_a_removed_run_takes_no_more_rows(store: Store, run: BatchRun) -> None:
    await run.save(1, b"one", error=False)
    await run.remove()
    with pytest.raises(DiskError, match=r"no longer in the store"):
        await run.save(2, b"two", error=False)
    with pytest.raises(DiskError, match=r"no longer in the store"):
        await run.missing(0, 9)
    with pytest.raises(DiskError, match=r"no longer in the store"):
        await rows_of(run)
    new = await begun(store)
    assert new.done == 0


async def test_a_run_that_nobody_touched_for_a_month_is_deleted_when_a_batch_is_opened(place: Place) -> None:
    async with opened(place) as store:
        for key in ("old", "older", "fresh"):
            await fill(await begun(store, key), range(3))
    month = 30 * 86_400
    place.query("UPDATE runs SET touched = touched - ? WHERE key = 'old'", month - 60)
    place.query("UPDATE runs SET touched = touched - ? WHERE key = 'older'", month + 60)
    async with opened(place) as store:
        await begun(store, "new")
        assert [(await begun(store, key)).done for key in ("old", "older", "fresh")] == [3, 0, 3]


async def test_an_old_run_that_is_asked_for_again_goes_on(place: Place) -> None:
    async with opened(place) as store:
        await fill(await begun(store), range(3))
        place.query("UPDATE runs SET touched = 0")
        assert (await begun(store)).done == 3


async def test_a_long_run_stays_fresh_while_it_is_worked_on(place: Place) -> None:
    async with opened(place) as store:
        run = await begun(store)
        place.query("UPDATE runs SET touched = 0")
        await run.save(1, b"one", error=False)
        await begun(store, "new")
        await run.save(2, b"two", error=False)
        assert run.done == 2


async def test_a_removal_that_was_cut_short_is_ended_by_the_next_batch(place: Place) -> None:
    async with opened(place) as store:
        await fill(await begun(store), range(3))
        place.query("UPDATE runs SET key = NULL")
        assert (await begun(store)).done == 0
    assert place.query("SELECT count(*) FROM records") == [(0,)]
    assert place.query("SELECT key FROM runs") == [("key",)]


async def test_in_memory_a_run_lasts_as_long_as_the_process(path: Path) -> None:
    async with opened(None) as store, opened(path) as lasting:
        assert (store.batches.persistent, lasting.batches.persistent) == (False, True)
        run = await begun(store)
        await fill(run, range(1_500))
        assert (await begun(store)).done == 1_500
        await run.remove()
        assert (await begun(store)).done == 0


async def test_nothing_that_was_confirmed_is_lost_to_a_kill(place: Place) -> None:
    confirmed: set[int] = set()
    for killed in range(1, 4):
        with child(SAVING, place) as process:
            assert process.stdout
            for line in process.stdout:
                confirmed.add(int(line))
                if len(confirmed) >= 300 * killed:
                    process.kill()
                    break
            # What it confirmed until the signal came; a last line may be cut.
            confirmed |= {int(line) for line in process.stdout.read().split("\n")[:-1]}
        async with opened(place) as store:
            kept = {row: text for row, text, _ in await rows_of(await begun(store))}
        assert confirmed <= set(kept)
        assert all(kept[row] == b"row %d" % row for row in kept)
        # Beyond what was confirmed, at most what was being saved.
        assert len(kept) <= len(confirmed) + 8 * killed
        assert place.url or place.query("PRAGMA integrity_check") == [("ok",)]
