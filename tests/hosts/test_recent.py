"""What is kept by a name that a client chooses does not grow for ever."""

from __future__ import annotations

import asyncio

from ollama_mcp.api.http_session import ApiRequest
from ollama_mcp.hosts.model_activity import LoadedModelTracker
from ollama_mcp.hosts.queue import HostQueue
from ollama_mcp.hosts.recent import RecentDict
from ollama_mcp.settings import Settings
from ollama_mcp.store import Store
from ollama_mcp.store.usage import MAX_MODELS, OTHER_MODELS


def test_the_entries_that_were_set_last_are_kept() -> None:
    kept: RecentDict[str, int] = RecentDict(2)
    kept["a"], kept["b"] = 1, 2
    kept["a"] = 3
    kept["c"] = 4
    assert kept == {"a": 3, "c": 4}


async def test_models_beyond_the_limit_are_counted_together() -> None:
    store = Store.from_settings(Settings.model_validate({"store": {"path": ":memory:"}}))
    for number in range(MAX_MODELS + 5):
        store.usage.count(f"m{number}", cloud=False, prompt_tokens=1, tokens=1, file_tokens=0, seconds=0.1)
    totals = await store.usage.totals()
    assert len(totals.session.local) == len(totals.all_time.local) == MAX_MODELS + 1
    assert next(row for row in totals.session.local if row.model == OTHER_MODELS).calls == 5
    assert totals.session.local_total.calls == MAX_MODELS + 5
    await store.aclose()


async def test_of_models_that_answered_the_last_are_known() -> None:
    queue = HostQueue("here", in_flight=1, waiting=1)
    for number in range(3_000):
        (await queue.enter(ApiRequest("POST", "/api/generate", model=f"m{number}"))).leave()
    assert 1 <= len(queue.answered_at) < 2_000
    assert not queue.counts

    loaded = LoadedModelTracker(lambda: asyncio.sleep(0, []))
    for number in range(3_000):
        loaded.record_waiting(f"m{number}", 1.0, 2.0)
    assert loaded.waited("m0") == (0.0, 0.0)
    assert loaded.waited("m2999") == (1.0, 2.0)
