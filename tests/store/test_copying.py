"""The copy of a file into a database: everything once, however often it is copied, and all goes on there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ollama_mcp.errors import DiskError
from ollama_mcp.settings import Settings
from ollama_mcp.store import Store, Tuning
from ollama_mcp.store.copying import Copied, copy_store
from ollama_mcp.store.jobs import KeepLimits, StoredJob
from ollama_mcp.store.ledger import LedgerRow
from ollama_mcp.store.profiles import Profile
from tests.cli.support import run
from tests.fleet.postgres import renew
from tests.store.support import Place, begun, fill, opened, record, rows_of

KEEP = KeepLimits(seconds=3_600, cut_seconds=60, count=100, bytes=1_000_000)
DIGEST = "ab" * 32
VECTORS = [(number.to_bytes(16, "big"), number.to_bytes(8, "little") * 8) for number in range(1_200)]


@pytest.fixture
def place(path: Path, database: str) -> Place:
    """A database with new tables, beside a file."""
    renew(database)
    return Place(path, database)


def settings_of(place: Place) -> Settings:
    return Settings.model_validate({"store": {"path": str(place.path), "url": place.url}, "ledger": {"enabled": True}})


def count(store: Store, calls: int) -> None:
    for _ in range(calls):
        store.usage.count("m", cloud=False, prompt_tokens=2, tokens=3, file_tokens=1, seconds=0.5)


async def end(store: Store, name: str) -> None:
    job = StoredJob(name, "ollama_chat", "m", "local", None, "digest", False)
    await store.jobs.add(job)
    job.state, job.result = "done", f'"{name}"'
    assert await store.jobs.end(job, KEEP)


async def log(path: Path, *names: str) -> None:
    """Rows in the ledger of a file."""
    store = Store.for_ledger(settings_of(Place(path)))
    assert store.ledger is not None
    for name in names:
        store.ledger.add(LedgerRow("ada", name))
    await store.aclose()


async def made(path: Path) -> None:
    """A file with something of each kind."""
    async with opened(path) as store:
        await fill(await begun(store, "a", 900), range(700))
        await (await begun(store, "a")).save(700, b"bad", error=True)
        await fill(await begun(store, "busy"), range(3))
        await store.embeddings.put("m:0", VECTORS)
        await store.models.record_token_estimate(DIGEST, 100, 130)
        await store.tunings.keep("http://a:1", "m", DIGEST, Tuning(8, "slots"))
        await store.probes.keep("p", DIGEST, passed=True)
        await store.profiles.keep("", "mine", Profile("m", DIGEST, "hash"))
        count(store, 4)
        store.open_spending(settings_of(Place(path))).add("ada", 100)
        for name in ("first", "second"):
            await end(store, name)
        await store.jobs.add(StoredJob("runs", "ollama_chat", "m", "local", None, "digest", True))
    await log(path, *(f"tool {number}" for number in range(600)))


def copied(place: Place) -> Copied:
    return copy_store(place.path, place.url, running={"busy"})


async def test_everything_comes_once_however_often_it_is_copied(place: Place) -> None:
    await made(place.path)
    assert copied(place) == Copied(
        {
            "notes on models": 1,
            "measurements": 2,
            "profiles": 1,
            "usage by model": 1,
            "tokens of a day": 1,
            "embeddings and words": 1_200,
            "batches": 1,
            "rows of batches": 701,
            "ended jobs": 2,
            "ledger": 600,
        },
        jobs_left=1,
        batches_left=1,
    )
    again = copied(place).counts
    assert not any(again.values())
    async with opened(place) as store:
        batch = await begun(store, "a")
        assert (batch.total, batch.done, batch.failed) == (900, 700, 1)
        assert (await rows_of(batch))[-2:] == [(699, record(699), False), (700, b"bad", True)]
        assert [one.key for one in await store.batches.unfinished()] == ["a"]
        assert await store.embeddings.get("m:0", [key for key, _ in VECTORS]) == dict(VECTORS)
        assert await store.models.token_ratio(DIGEST) == pytest.approx(1.3)
        assert await store.tunings.find("http://a:1", "m", DIGEST) == Tuning(8, "slots")
        assert await store.probes.passed("p", DIGEST) is True
        assert await store.profiles.find("", "mine") == Profile("m", DIGEST, "hash")
        assert (await store.usage.totals()).all_time.local_total.calls == 4
        assert await store.open_spending(settings_of(place)).of_today("ada") == 100
        assert [(job.id, job.state) for job in await store.jobs.listed("local")] == [
            ("second", "done"),
            ("first", "done"),
        ]


async def test_what_came_goes_on_there(place: Place) -> None:
    await made(place.path)
    copied(place)
    async with opened(place) as store:
        batch = await begun(store, "a")
        await batch.save(700, b"good", error=False)
        await batch.save(701, b"new", error=False)
        assert (batch.done, batch.failed) == (702, 0)
        await end(store, "third")
        await store.embeddings.put("n:0", VECTORS[:3])
        count(store, 1)
        assert [job.id for job in await store.jobs.listed("local")] == ["third", "second", "first"]
    # What the file got meanwhile comes as well, and what is better there stays.
    async with opened(place.path) as store:
        count(store, 2)
        await fill(await begun(store, "busy"), range(3, 5))
    await log(place.path, "late")
    counts = copy_store(place.path, place.url, running=()).counts
    assert (counts["ledger"], counts["rows of batches"], counts["usage by model"]) == (1, 5, 1)
    async with opened(place) as store:
        assert (await rows_of(await begun(store, "a")))[700] == (700, b"good", False)
        assert (await begun(store, "busy")).done == 5
        assert (await store.usage.totals()).all_time.local_total.calls == 7
    ledger = Store.for_ledger(settings_of(place))
    assert ledger.ledger is not None
    assert [row["tool"] async for row in ledger.ledger.entries()] == [*(f"tool {n}" for n in range(600)), "late"]
    await ledger.aclose()
    assert place.query("SELECT bytes FROM ledger_size") == place.query("SELECT sum(bytes) FROM ledger")
    assert place.query("SELECT bytes FROM embedding_size") == place.query("SELECT sum(bytes) FROM embedding_keys")


def test_without_a_file_or_with_one_that_is_no_store_nothing_is_made(place: Place) -> None:
    with pytest.raises(DiskError, match="no store at"):
        copied(place)
    assert not place.path.exists()
    place.path.parent.mkdir()
    with sqlite3.connect(place.path) as connection:
        connection.execute("CREATE TABLE theirs (name)")
    connection.close()
    with pytest.raises(DiskError, match="another program"):
        copied(place)


@pytest.mark.slow
async def test_the_command_line_copies_and_says_what_it_left(place: Place) -> None:
    await made(place.path)
    done = await run("store", "copy", "--from", str(place.path), "--into", place.url)
    assert done.code == 0, done.err
    said = [" ".join(line.replace("|", " ").split()) for line in done.out.splitlines()]
    assert "ledger 600" in said, said
    assert "Left out, since they run: 1 jobs, 0 batches" in done.out
