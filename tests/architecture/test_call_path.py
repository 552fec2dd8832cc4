"""The way of a call through the code stays short: the ratchet of `bench/call_path.py`."""

from __future__ import annotations

import pytest

from bench.call_path import LIMITS, SECOND_ROW_LIMIT, files_of, measure

pytestmark = pytest.mark.slow


async def test_warm_calls_enter_no_more_files_and_functions_than_their_limits() -> None:
    found = await measure()
    counts = {name: (len(files_of(found[name])), len(found[name])) for name in LIMITS}
    longer = {name: count for name, count in counts.items() if count[0] > LIMITS[name][0] or count[1] > LIMITS[name][1]}
    assert not longer, "python -m bench.call_path --list NAME shows what a call enters"
    assert len(found["failing chat"]) <= len(found["chat"]), sorted(found["failing chat"] - found["chat"])
    assert len(found["second row"]) <= SECOND_ROW_LIMIT, sorted(found["second row"])
