"""What goes where more is kept than may be."""

from __future__ import annotations

import pytest

from ollama_mcp.store.surplus import surplus


@pytest.mark.parametrize(
    ("kept", "count", "size", "gone"),
    [
        ("", 0, 0, []),
        ("a5 a5", 2, 10, []),
        # Of one the oldest, and never the newest.
        ("a5 a5 a5", 2, 100, [2]),
        ("a5 a100 a1", 9, 50, [1, 2]),
        ("a100", 0, 0, []),
        # Of several, those of whoever has most.
        ("a1 a1 a1 b1", 3, 100, [2]),
        ("a1 a1 a1 b1", 1, 100, [1, 2, 3]),
        ("b1 a90 a90 c1", 9, 100, [2]),
        # Of two that have as many the older.
        ("a1 b1 a1 b1", 3, 100, [3]),
    ],
)
def test_whoever_keeps_most_loses_the_oldest(kept: str, count: int, size: int, gone: list[int]) -> None:
    assert sorted(surplus([(one[0], int(one[1:])) for one in kept.split()], count, size)) == gone
