"""Lines and thinking come out the same however the network cut them."""

from __future__ import annotations

from itertools import pairwise
from typing import AnyStr

from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_mcp.api.inference_streams import ThinkingSplitter
from ollama_mcp.api.stream import LineBuffer

CUTS = st.lists(st.integers(0, 80), max_size=12)
TAGGED = st.lists(st.sampled_from(["<think>", "</think>", "<th", "nk>", "\n", " ", "a", "é", "<", "/"]), max_size=12)


def cut(whole: AnyStr, cuts: list[int]) -> list[AnyStr]:
    edges = [0, *sorted(min(at, len(whole)) for at in cuts), len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


def split(pieces: list[str]) -> tuple[str, str]:
    splitter, thinking, answer = ThinkingSplitter(), "", ""
    for piece in pieces:
        found = ("", piece) if splitter.in_answer else splitter.feed(piece)
        thinking, answer = thinking + found[0], answer + found[1]
    rest = splitter.flush()
    return thinking + rest[0], answer + rest[1]


@given(TAGGED.map(lambda parts: ["<think>", *parts]), CUTS)
@settings(max_examples=500)
def test_thinking_does_not_depend_on_the_cuts(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    assert split(cut(text, cuts)) == split([text])


@given(TAGGED)
def test_text_that_does_not_begin_with_the_tag_is_all_answer(parts: list[str]) -> None:
    text = "x" + "".join(parts)
    assert split([text]) == ("", text)


@given(st.binary(max_size=60).map(lambda data: data.replace(b"a", b"\n")), CUTS)
def test_lines_do_not_depend_on_the_cuts(data: bytes, cuts: list[int]) -> None:
    buffer = LineBuffer()
    lines = [line for piece in cut(data, cuts) for line in buffer.feed(piece)]
    *whole, rest = data.split(b"\n")
    assert lines == [line for line in whole if line.strip()]
    assert buffer.take_rest() == rest
