"""Several servers with one store at the same moment: nothing is lost, doubled, or given to two."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress

import pytest

from ollama_mcp.settings import Settings
from ollama_mcp.store import BatchRun, CheckpointLost, Store
from ollama_mcp.store.jobs import JobUpdate, KeepLimits, StoredJob
from ollama_mcp.store.ledger import LedgerRow, Traffic
from ollama_mcp.store.spending import today
from tests.store.support import Place, begun, opened, record, rows_of

KEEP = KeepLimits(seconds=3_600, cut_seconds=60, count=5, bytes=1_000_000)
SERVERS = 4


@pytest.fixture
async def servers(place: Place) -> AsyncGenerator[list[Store]]:
    """Stores in the same place, each with a connection of its own."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(place)) for _ in range(SERVERS)]


def settings_of(place: Place) -> Settings:
    """Settings that keep in that place."""
    return Settings.model_validate({"store": {"path": str(place.path), "url": place.url}, "ledger": {"enabled": True}})


def job(name: str) -> StoredJob:
    return StoredJob(name, "ollama_chat", "m", "local", None, "digest", True)


def hashed(number: int) -> tuple[bytes, bytes]:
    return number.to_bytes(16, "big"), number.to_bytes(8, "big") * 10


async def test_vectors_put_and_dropped_at_once_leave_a_true_sum(servers: list[Store], place: Place) -> None:
    async def use(store: Store, seed: int) -> None:
        for _ in range(5):
            numbers = random.Random(seed).sample(range(60), 40)
            await store.embeddings.put("m:0", [hashed(number) for number in numbers])
            await store.embeddings.drop("m:0", [hashed(number)[0] for number in numbers[:10]])

    await asyncio.gather(*(use(store, seed) for seed, store in enumerate(servers)))
    ((number, size),) = place.query("SELECT count(*), sum(bytes) FROM embedding_keys")
    assert place.query("SELECT bytes FROM embedding_size") == [(size,)]
    assert place.query("SELECT count(*) FROM vectors") == [(number,)]
    found = await servers[0].embeddings.get("m:0", [hashed(number)[0] for number in range(60)])
    assert found and all(vector == hashed(int.from_bytes(key, "big"))[1] for key, vector in found.items())


async def test_rows_of_the_ledger_come_in_the_order_of_their_numbers(place: Place) -> None:
    settings, ledgers = settings_of(place), list[Store]()
    for _ in range(SERVERS):
        ledgers.append(Store.for_ledger(settings))

    async def use(store: Store, server: int) -> None:
        assert store.ledger is not None
        for number in range(10):
            traffic = {("h", "a", "m"): Traffic("h", "a", "m", requests=1)}
            store.ledger.add(LedgerRow(f"{server}", f"{number}", traffic=traffic))
            await store.ledger.flush()

    await asyncio.gather(*(use(store, number) for number, store in enumerate(ledgers)))
    ledger = ledgers[0].ledger
    assert ledger is not None
    rows = [(row["who"], row["tool"]) async for row in ledger.entries()]
    for server in map(str, range(SERVERS)):
        assert [tool for who, tool in rows if who == server] == [str(number) for number in range(10)]
    assert place.query("SELECT bytes FROM ledger_size") == place.query("SELECT sum(bytes) FROM ledger")
    for store in ledgers:
        await store.aclose()


async def test_each_server_learns_what_others_spent(place: Place) -> None:
    told: list[tuple[int, str, int]] = []
    settings, stores = settings_of(place), [place.made(), place.made()]
    one, other = (store.open_spending(settings) for store in stores)
    other.corrected = lambda day, name, tokens: told.append((day, name, tokens))
    one.add("ada", 100)
    one.add("bob", 7)
    await one.aclose()
    assert (await other.of_today("ada"), await other.of_today("eve")) == (100, 0)
    other.add("ada", 20)
    await other.aclose()
    assert told == [(today(), "ada", 120)]
    assert await one.of_today("ada") == 120
    for store in stores:
        await store.aclose()


async def test_sums_of_all_are_exact(place: Place) -> None:
    settings, stores = settings_of(place), [place.made() for _ in range(SERVERS)]
    sums = [store.open_spending(settings) for store in stores]
    for _ in range(5):
        for spending in sums:
            for name in random.sample("abcdef", 6):
                spending.add(name, 1)
        await asyncio.gather(*(spending.aclose() for spending in sums))
    assert [await sums[0].of_today(name) for name in "abcdef"] == [5 * SERVERS] * 6
    for store in stores:
        await store.aclose()


async def test_one_of_several_takes_a_job(servers: list[Store]) -> None:
    owner, *others = servers
    for number in range(5):
        await owner.jobs.add(job(f"{number}"))
        (found,) = [stored for stored in await others[0].jobs.running() if stored.id == str(number)]
        copies = [(store, await store.jobs.find(found.id)) for store in others]
        takes = [store.jobs.take(stored) for store, stored in copies if stored is not None]
        assert sorted(await asyncio.gather(*takes)) == [False, False, True]
        update = JobUpdate(found.id, 1, "m", {}, "late")
        assert (await owner.jobs.update([update])).lost == {found.id}


async def test_who_takes_a_job_is_known_while_others_tidy(servers: list[Store]) -> None:
    taker, tidier, *_ = servers
    await taker.jobs.add(job("a"))
    stop = asyncio.Event()

    async def tidy() -> None:
        while not stop.is_set():
            await tidier.jobs.tidy(KEEP)

    tidying = asyncio.create_task(tidy())
    try:
        for _ in range(30):
            stored = await taker.jobs.find("a")
            assert stored is not None
            await taker.jobs.release([stored])
            stored.owner = ""
            assert await taker.jobs.take(stored)
            assert taker.jobs.me in await tidier.jobs.owners()
    finally:
        stop.set()
        await tidying


async def test_of_jobs_that_end_at_once_the_newest_stay_and_each_has_its_place(
    servers: list[Store], place: Place
) -> None:
    async def use(store: Store, server: int) -> None:
        for number in range(6):
            stored = job(f"{server}.{number}")
            await store.jobs.add(stored)
            stored.state = "done"
            assert await store.jobs.end(stored, KEEP)

    await asyncio.gather(*(use(store, number) for number, store in enumerate(servers)))
    places = [number for (number,) in place.query("SELECT ended FROM jobs")]
    assert sorted(places) == list(range(6 * SERVERS - KEEP.count + 1, 6 * SERVERS + 1))


async def test_rows_saved_by_several_are_each_kept_once_and_a_success_stays(servers: list[Store]) -> None:
    runs = [await begun(store) for store in servers]

    async def use(number: int) -> None:
        order = random.sample(range(200), 200)
        saves = [runs[number].save(row, b"%d of %d" % (row, number), error=(row + number) % 2 == 0) for row in order]
        await asyncio.gather(*saves)

    await asyncio.gather(*map(use, range(SERVERS)))
    rows = await rows_of(runs[0])
    assert [(row, error) for row, _, error in rows] == [(row, False) for row in range(200)]
    again = await begun(servers[0])
    assert (again.done, again.failed) == (200, 0)
    kept = [text for _, text, _ in rows]
    await asyncio.gather(*(run.save(row, b"late", error=False) for run in runs for row in range(200)))
    assert [text for _, text, _ in await rows_of(runs[1])] == kept
    assert sum(run.done for run in runs) == 200


async def test_a_run_that_one_removes_while_another_saves_is_gone(servers: list[Store], place: Place) -> None:
    for _ in range(5):
        one, other = await begun(servers[0]), await begun(servers[1])

        async def save(run: BatchRun = other) -> None:
            with suppress(CheckpointLost):
                for row in range(1_000):
                    await run.save(row, record(row), error=False)

        saving = asyncio.create_task(save())
        await one.save(5_000, b"", error=False)
        await one.remove()
        await saving
        assert place.query("SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM runs)") == [(0, 0)]


async def test_what_was_left_to_delete_may_be_deleted_by_several(servers: list[Store], place: Place) -> None:
    run = await begun(servers[0])
    await asyncio.gather(*(run.save(row, record(row), error=False) for row in range(3_000)))
    place.query("UPDATE runs SET key = NULL")
    opened_runs = await asyncio.gather(*(begun(store, "other") for store in servers))
    assert {one.done for one in opened_runs} == {0}
    assert place.query("SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM runs)") == [(0, 1)]
