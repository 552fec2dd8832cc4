"""The way of a call through the code stays short: the ratchet of `bench/call_path.py`."""

from __future__ import annotations

import pytest

from bench.call_path import LIMITS, SECOND_ROW_LIMIT, Entered, files_of, measure

pytestmark = pytest.mark.slow


async def test_warm_calls_enter_no_more_files_and_functions_than_their_limits() -> None:
    found = await measure()
    if longer_than_allowed(found):
        # On a busy machine an answer may come so late that the next is streamed. What a call always enters comes again.
        found = await measure()
    assert not longer_than_allowed(found), "python -m bench.call_path --list NAME shows what a call enters"
    assert len(found["failing chat"]) <= len(found["chat"]), sorted(found["failing chat"] - found["chat"])
    assert len(found["second row"]) <= SECOND_ROW_LIMIT, sorted(found["second row"])


def longer_than_allowed(found: dict[str, Entered]) -> dict[str, tuple[int, int]]:
    """The calls that enter more files or functions than their limits, with both numbers."""
    counts = {name: (len(files_of(found[name])), len(found[name])) for name in LIMITS}
    return {name: found for name, found in counts.items() if found[0] > LIMITS[name][0] or found[1] > LIMITS[name][1]}
