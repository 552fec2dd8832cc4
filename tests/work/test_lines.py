"""Ranges of lines, as a call writes them and as they are cut out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.work.lines import Range, cut, split_range, united

RANGES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 6) | st.none()).map(
        lambda pair: Range(pair[0], None if pair[1] is None else pair[0] + pair[1])
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("a.py:10-80", ("a.py", Range(10, 80))),
        ("a.py:10", ("a.py", Range(10, 10))),
        ("a.py:10-", ("a.py", Range(10))),
        ("C:\\x\\a.py:7", ("C:\\x\\a.py", Range(7, 7))),
        ("C:\\x\\a.py", None),
        ("a:1:2-3", ("a:1", Range(2, 3))),
        ("a.py", None),
        ("a.py:x", None),
        (":5", None),
    ],
)
def test_a_range_is_what_stands_behind_the_last_colon(spec: str, expected: tuple[str, Range] | None) -> None:
    assert split_range(spec) == expected


@pytest.mark.parametrize("spec", ["a:0", "a:0-3", "a:9-3"])
def test_ranges_that_cannot_be_are_refused(spec: str) -> None:
    with pytest.raises(InvalidArgument, match="no range"):
        split_range(spec)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["", "a", "bb"]), max_size=14), st.booleans(), RANGES, st.integers(1, 9))
def test_the_right_lines_are_cut_out_however_the_text_comes(
    lines: list[str], is_closed: bool, ranges: list[Range], size: int
) -> None:
    text = "\n".join(lines) + ("\n" if lines and is_closed else "")
    real = text.splitlines(keepends=True)
    wanted = united(ranges)
    data = text.encode()
    found = cut((data[at : at + size] for at in range(0, len(data), size)), wanted, most=1_000)
    for part in found.parts:
        expected = real[part.range.first - 1 : part.range.last]
        assert part.data.decode() == "".join(expected)
        assert part.last == part.range.first + len(expected) - 1
    whole_of_nothing = not real and wanted[0] == Range(1)
    assert len(found.parts) == sum(range_.first <= len(real) for range_ in wanted) + whole_of_nothing
    assert found.total in (None, len(real))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(RANGES)
def test_united_ranges_are_the_same_lines_in_order_and_apart(ranges: list[Range]) -> None:
    def lines(found: list[Range]) -> set[int]:
        return {line for range_ in found for line in range(range_.first, (range_.last or 40) + 1)}

    found = united(ranges)
    assert lines(found) == lines(ranges)
    assert all(one.last is not None and one.last + 1 < two.first for one, two in pairwise(found))


def test_more_than_may_be_read_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"limits\.file_bytes"):
        cut([b"aaaa\n"] * 10, [Range(2, 9)], most=20)


def test_a_range_is_written_as_it_is_read() -> None:
    assert [str(range_) for range_ in (Range(3), Range(3, 3), Range(3, 5))] == ["3-", "3", "3-5"]
