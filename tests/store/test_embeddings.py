"""Kept embeddings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ollama_mcp.store import Store
from ollama_mcp.store.embeddings import MAX_MEMORY_BYTES
from tests.store.support import Place, opened

VECTOR = bytes(range(256)) * 4


def numbered(numbers: range) -> list[tuple[bytes, bytes]]:
    return [(number.to_bytes(16, "big"), VECTOR[:1_000] + number.to_bytes(8, "big")) for number in numbers]


def hashes(numbers: range) -> list[bytes]:
    return [hashed for hashed, _ in numbered(numbers)]


async def test_what_was_put_is_found_and_nothing_else(store: Store) -> None:
    await store.embeddings.put("m:0", numbered(range(3)))
    assert await store.embeddings.get("m:0", hashes(range(1, 9))) == dict(numbered(range(1, 3)))


async def test_spaces_are_apart(store: Store) -> None:
    await store.embeddings.put("m:0", [(b"text", b"0000")])
    await store.embeddings.put("m:64", [(b"text", b"6464")])
    assert await store.embeddings.get("m:64", [b"text"]) == {b"text": b"6464"}
    assert await store.embeddings.get("m:32", [b"text"]) == {}


async def test_nothing_is_asked_and_nothing_put(store: Store) -> None:
    await store.embeddings.put("m:0", [])
    assert await store.embeddings.get("m:0", []) == {}


async def test_many_come_back_as_they_were(place: Place) -> None:
    # More than SQLite takes as parameters of one statement, and more than one page.
    async with opened(place) as store:
        await store.embeddings.put("m:0", numbered(range(10_000)))
    async with opened(place) as store:
        found = await store.embeddings.get("m:0", hashes(range(10_000)))
    assert found == dict(numbered(range(10_000)))


async def test_putting_again_keeps_one_of_each(store: Store, place: Place) -> None:
    await store.embeddings.put("m:0", [*numbered(range(3)), *numbered(range(2))])
    await store.embeddings.put("m:0", numbered(range(5)))
    assert place.query("SELECT count(*), sum(bytes) FROM embedding_keys") == [(5, 5 * 1_008)]
    assert place.query("SELECT count(*) FROM vectors") == [(5,)]
    assert place.query("SELECT bytes FROM embedding_size") == [(5 * 1_008,)]


async def test_what_was_not_used_for_longest_goes_first(place: Place) -> None:
    async with opened(place, embeddings_mb=3) as store:
        await store.embeddings.put("m:0", numbered(range(2_500)))
        place.query("UPDATE embedding_keys SET used = used - 1")
        # Reading the first ones makes them the last to go.
        assert len(await store.embeddings.get("m:0", hashes(range(100)))) == 100
        await store.embeddings.put("m:0", numbered(range(2_500, 3_000)))
        kept = await store.embeddings.get("m:0", hashes(range(3_000)))
    assert set(hashes(range(100))) | set(hashes(range(2_500, 3_000))) <= set(kept)
    size = sum(map(len, kept.values()))
    assert 2_600_000 < size <= 2_700_000
    assert place.query("SELECT bytes FROM embedding_size") == [(size,)]
    assert place.query("SELECT sum(length(vector)) FROM vectors") == [(size,)]


async def test_a_smaller_bound_is_met_with_the_next_vector(place: Place) -> None:
    async with opened(place) as store:
        await store.embeddings.put("m:0", numbered(range(5_000)))
    async with opened(place, embeddings_mb=1) as store:
        await store.embeddings.put("m:0", numbered(range(5_000, 5_001)))
        kept = await store.embeddings.get("m:0", hashes(range(5_001)))
    assert sum(map(len, kept.values())) <= 900_000
    assert hashes(range(5_000, 5_001))[0] in kept


async def test_reading_on_the_same_day_writes_nothing(file_store: Store, path: Path) -> None:
    await file_store.embeddings.put("m:0", numbered(range(100)))
    before = os.stat(f"{path}-wal").st_size
    await file_store.embeddings.get("m:0", hashes(range(100)))
    assert os.stat(f"{path}-wal").st_size == before


async def test_in_memory_they_are_kept_for_the_process() -> None:
    async with opened(None) as store:
        await store.embeddings.put("m:0", numbered(range(3)))
        assert await store.embeddings.get("m:0", hashes(range(3))) == dict(numbered(range(3)))


@pytest.mark.parametrize("broken", [False, True], ids=["in memory", "in place of a file that cannot be used"])
async def test_in_memory_fewer_are_kept_than_on_the_disk(tmp_path: Path, broken: bool) -> None:
    path = tmp_path / "folder" / "store.sqlite3" if broken else None
    if path is not None:
        path.mkdir(parents=True)
    vector = bytes(1_000_000)
    async with opened(path) as store:
        for number in range(110):
            await store.embeddings.put("m:0", [(hashes(range(number, number + 1))[0], vector)])
        kept = await store.embeddings.get("m:0", hashes(range(110)))
    assert 80 <= len(kept) <= MAX_MEMORY_BYTES // len(vector)
