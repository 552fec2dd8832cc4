"""What is kept by a name that a client chooses does not grow for ever."""

from __future__ import annotations

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
