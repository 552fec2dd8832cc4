"""Texts in passages: nothing is lost, every line number is right, breaks are where the author made them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_mcp.work.files.documents import Document
from ollama_mcp.work.files.passages import Passage, split_document

# Much of what matters: breaks of all kinds, marks, joiners, and letters around them.
TEXTS = st.text(st.sampled_from("ab. !\n\t。e\u0301\u200d👍\U0001f3fb"), max_size=400)


def document(text: str, first_line: int = 1) -> Document:
    last = first_line + max(0, text.count("\n") - text.endswith("\n"))
    return Document("/a", text, first_line, last, len(text.encode()), "utf-8", "text")


def passages(text: str, chars: int, overlap: int = 0, first_line: int = 1) -> list[Passage]:
    return list(split_document(document(text, first_line), chars=chars, overlap=overlap))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(TEXTS, st.integers(1, 60), st.integers(1, 1_000))
def test_passages_put_together_are_the_text_and_their_lines_are_right(text: str, chars: int, first_line: int) -> None:
    found = passages(text, chars, first_line=first_line)
    assert "".join(passage.text for passage in found) == text
    assert all(0 < len(passage.text) <= chars for passage in found)
    at = 0
    for passage in found:
        assert passage.first_line == first_line + text[:at].count("\n")
        at += len(passage.text)
        assert passage.last_line == first_line + text[: at - 1].count("\n")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["", "\n", " ", ". "]), max_size=150), st.integers(6, 60), st.data())
def test_overlapping_passages_cover_the_text_and_repeat_no_more_than_they_may(
    breaks: list[str], chars: int, data: st.DataObject
) -> None:
    # Each letter comes once, so that every passage has one place.
    text = "".join(chr(0x4E00 + number) + after for number, after in enumerate(breaks))
    overlap = data.draw(st.integers(1, chars // 2))
    end = 0
    for passage in passages(text, chars, overlap):
        start = text.index(passage.text)
        assert len(passage.text) <= chars
        assert end - overlap <= start <= end < start + len(passage.text)
        end = start + len(passage.text)
        assert passage.first_line == 1 + text[:start].count("\n")
        assert passage.last_line == 1 + text[: end - 1].count("\n")
    assert end == len(text)


def test_a_passage_ends_at_a_paragraph_else_a_line_else_a_sentence_else_a_word() -> None:
    assert passages("one two.\n\nthree\nfour five", 14)[0].text == "one two.\n\n"
    assert passages("one two three.\nfour five", 20)[0].text == "one two three.\n"
    assert passages("one two three. Four five", 20)[0].text == "one two three. "
    assert passages("一二三四五六七。八九十", 10)[0].text == "一二三四五六七。"
    assert passages("one two three four five", 16)[0].text == "one two three "
    assert [passage.text for passage in passages("x" * 25, 10)] == ["x" * 10, "x" * 10, "x" * 5]


def test_a_character_stays_with_its_marks() -> None:
    assert passages("aaaaaaaaae\u0301bbbb", 10)[0].text == "aaaaaaaaa"
    assert passages("aaaaaaa👍\U0001f3fbbb", 8)[0].text == "aaaaaaa"
    assert passages("aaaaaa👩\u200d👦bbbbb", 8)[0].text == "aaaaaa"
    # Marks without end are cut somewhere.
    assert len(passages("e" + "\u0301" * 500, 100)) == 6


def test_a_passage_that_overlaps_begins_with_a_line_or_a_word() -> None:
    lines = passages("".join(f"line {number}\n" for number in range(10, 30)), 40, 20)
    assert all(passage.text.startswith("line ") for passage in lines)
    assert lines[1].first_line <= lines[0].last_line
    words = passages("word " * 40, 42, 12)
    assert all(passage.text.startswith("word") for passage in words)


def test_an_empty_document_has_no_passages() -> None:
    assert passages("", 10) == []


def test_ten_megabytes_on_one_line_are_split() -> None:
    found = passages("y" * 10_000_000, 1_200, 100)
    assert len(found) == 9_091
    assert {(passage.first_line, passage.last_line) for passage in found} == {(1, 1)}


@pytest.mark.parametrize(("chars", "overlap"), [(0, 0), (10, 6), (10, -1)])
def test_sizes_that_cannot_be_are_refused(chars: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="cannot overlap"):
        passages("text", chars, overlap)
