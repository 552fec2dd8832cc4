"""A disk that fills: played by the limit of a process on the size of its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.store.support import begun, child, finish, opened, query, rows_of

pytest.importorskip("resource", reason="Windows has no such limit")

FILLING = """
import json, resource, signal
from ollama_mcp.errors import DiskError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def count(store):
    store.usage.count("m", cloud=False, prompt_tokens=1, tokens=1, file_tokens=1, seconds=1.0)

async def main():
    store = Store(Path(sys.argv[1]))
    run = await store.batches.open("key", total=None, metadata={})
    for row in range(10):
        await run.save(row, b"small", error=False)
    limit(150_000)
    told = []
    for row in range(10, 13):
        try:
            await run.save(row, b"L" * 200_000, error=False)
        except DiskError as error:
            told.append(str(error))
    count(store)
    await store.embeddings.put("m:0", [(b"text", b"0" * 200_000)])
    found = await store.embeddings.get("m:0", [b"text"])
    # Enough that not only a page of the file but its log has to grow.
    for number in range(3_000):
        await store.models.record_token_estimate(f"{number:064x}", 100, 130)
    await store.models.aclose()
    full = (await store.usage.totals()).all_time.local_total.calls
    done = run.done
    limit(resource.RLIM_INFINITY)
    await run.save(10, b"after", error=False)
    count(store)
    await store.aclose()
    print(json.dumps({"told": told, "done": done, "found": len(found), "counted": full}))
asyncio.run(main())
"""


async def test_a_full_disk_is_told_to_the_batch_and_harms_nothing_that_was_kept(path: Path) -> None:
    with child(FILLING, path) as process:
        said = json.loads(finish(process))
    assert (len(said["told"]), said["done"], said["found"], said["counted"]) == (3, 10, 0, 1)
    assert all("disk" in told and "store.sqlite3" in told and "store.path" in told for told in said["told"])
    async with opened(path) as store:
        run = await begun(store)
        assert await rows_of(run) == [*((row, b"small", False) for row in range(10)), (10, b"after", False)]
        assert await store.models.token_ratio(f"{2_999:064x}") == pytest.approx(1.3)
        assert (await store.usage.totals()).all_time.local_total.calls == 2
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
