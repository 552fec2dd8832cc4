"""Counters: calls, tokens and seconds by model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ollama_mcp.store import Store, UsageRow, UsageSummary, UsageTotals
from tests.store.support import Place, child, files_in, finish, is_there, opened
from tests.support import until

COUNTING = """
async def main():
    store = store_of(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(50):
        store.usage.count("shared", cloud=False, prompt_tokens=2, tokens=3, file_tokens=1, seconds=0.5)
        await store.usage.totals()
    await store.aclose()
asyncio.run(main())
"""


def count(store: Store, model: str = "m", *, cloud: bool = False, tokens: int = 5) -> None:
    store.usage.count(model, cloud=cloud, prompt_tokens=10, tokens=tokens, file_tokens=4, seconds=0.5)


def test_the_total_of_no_calls_is_nothing_and_knows_where_it_was_done() -> None:
    summary = UsageSummary()
    assert summary.local_total == UsageRow("", False, 0, 0, 0, 0, 0.0)
    assert summary.cloud_total == UsageRow("", True, 0, 0, 0, 0, 0.0)


async def test_calls_of_a_model_add_up(store: Store) -> None:
    for _ in range(3):
        count(store)
    row = UsageRow("m", False, calls=3, prompt_tokens=30, tokens=15, file_tokens=12, seconds=1.5)
    assert await store.usage.totals() == UsageTotals(True, UsageSummary((row,)), UsageSummary((row,)))


async def test_the_cloud_is_counted_apart(store: Store) -> None:
    count(store, "local")
    count(store, "far", cloud=True)
    count(store, "further", cloud=True, tokens=9)
    run = (await store.usage.totals()).session
    assert [row.model for row in run.local] == ["local"]
    assert [row.model for row in run.cloud] == ["further", "far"]
    assert (run.local_total.tokens, run.cloud_total.tokens, run.cloud_total.calls) == (5, 14, 2)


async def test_this_run_is_told_from_all_time(place: Place) -> None:
    async with opened(place) as store:
        count(store)
        count(store, "old")
    async with opened(place) as store:
        count(store)
        totals = await store.usage.totals()
    assert {row.model: row.calls for row in totals.session.local} == {"m": 1}
    assert {row.model: row.calls for row in totals.all_time.local} == {"m": 2, "old": 1}


@pytest.mark.slow
async def test_counts_of_one_server_are_written_while_it_runs(store: Store, place: Place) -> None:
    await store.models.token_ratio("opens the file")
    count(store)
    await until(lambda: place.query("SELECT calls FROM usage") == [(1,)])


async def test_counting_switched_off_counts_nothing_and_says_so(path: Path) -> None:
    async with opened(path, usage=False) as store:
        count(store)
        assert await store.usage.totals() == UsageTotals(False, UsageSummary(), UsageSummary())
    assert not is_there(path.parent)


async def test_several_who_ask_at_once_count_nothing_twice(store: Store) -> None:
    count(store)
    asked = await asyncio.gather(*(store.usage.totals() for _ in range(5)))
    assert {totals.all_time.local_total.calls for totals in asked} == {1}


async def test_counts_of_several_processes_add_up(place: Place) -> None:
    with child(COUNTING, place) as one, child(COUNTING, place) as other:
        for process in (one, other):
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in (one, other):
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        finish(one)
        finish(other)
    async with opened(place) as store:
        (row,) = (await store.usage.totals()).all_time.local
    assert row == UsageRow("shared", False, 100, 200, 300, 100, 50.0)
    assert place.url or files_in(place.path.parent) == ["store.sqlite3"]
