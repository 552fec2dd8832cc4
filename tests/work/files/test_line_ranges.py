"""Line ranges: as a call writes them, and as they are sliced out of a text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.work.files.line_ranges import LineRange, merge_ranges, slice_lines, split_line_range

RANGES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 6) | st.none()).map(
        lambda pair: LineRange(pair[0], None if pair[1] is None else pair[0] + pair[1])
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("a.py:10-80", ("a.py", LineRange(10, 80))),
        ("a.py:10", ("a.py", LineRange(10, 10))),
        ("a.py:10-", ("a.py", LineRange(10))),
        ("C:\\x\\a.py:7", ("C:\\x\\a.py", LineRange(7, 7))),
        ("C:\\x\\a.py", None),
        ("a:1:2-3", ("a:1", LineRange(2, 3))),
        ("a.py", None),
        ("a.py:x", None),
        (":5", None),
    ],
)
def test_a_range_is_what_follows_the_last_colon(spec: str, expected: tuple[str, LineRange] | None) -> None:
    assert split_line_range(spec) == expected


@pytest.mark.parametrize("spec", ["a:0", "a:0-3", "a:9-3"])
def test_impossible_ranges_are_refused(spec: str) -> None:
    with pytest.raises(InvalidArgument, match="not a line range"):
        split_line_range(spec)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["", "a", "bb"]), max_size=14), st.booleans(), RANGES, st.integers(1, 9))
def test_the_right_lines_are_sliced_out_whatever_the_chunks(
    lines: list[str], is_closed: bool, ranges: list[LineRange], size: int
) -> None:
    text = "\n".join(lines) + ("\n" if lines and is_closed else "")
    real = text.splitlines(keepends=True)
    wanted = merge_ranges(ranges)
    data = text.encode()
    found = slice_lines((data[at : at + size] for at in range(0, len(data), size)), wanted, max_bytes=1_000)
    for part in found.slices:
        expected = real[part.range.first - 1 : part.range.last]
        assert part.data.decode() == "".join(expected)
        assert part.last == part.range.first + len(expected) - 1
    whole_of_nothing = not real and wanted[0] == LineRange(1)
    assert len(found.slices) == sum(range_.first <= len(real) for range_ in wanted) + whole_of_nothing
    assert found.total_lines in (None, len(real))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(RANGES)
def test_merged_ranges_are_the_same_lines_sorted_and_apart(ranges: list[LineRange]) -> None:
    def lines(found: list[LineRange]) -> set[int]:
        return {line for range_ in found for line in range(range_.first, (range_.last or 40) + 1)}

    found = merge_ranges(ranges)
    assert lines(found) == lines(ranges)
    assert all(one.last is not None and one.last + 1 < two.first for one, two in pairwise(found))


def test_more_than_may_be_read_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"limits\.file_bytes"):
        slice_lines([b"aaaa\n"] * 10, [LineRange(2, 9)], max_bytes=20)


def test_a_range_is_written_as_it_is_read() -> None:
    assert [str(range_) for range_ in (LineRange(3), LineRange(3, 3), LineRange(3, 5))] == ["3-", "3", "3-5"]
