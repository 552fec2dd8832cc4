"""Passages with their places: every word is in one, and every place is where its text is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.work.files.documents import Document
from ollama_mcp.work.search.corpus import MIN_CHARS, PASSAGE_CHARS, Corpus

TEXTS = st.lists(st.sampled_from(["word ", "\n", "\n\n", "  ", "sentence. ", "é"]), max_size=300).map("".join)


def corpus_of(text: str, *, window: int = 512, first_line: int = 1, most: int = 10_000) -> Corpus:
    corpus = Corpus("", context_length=window, max_passages=most)
    corpus.add([Document("/a", text, first_line, first_line, len(text.encode()), "utf-8", "text")], ["a text"])
    return corpus


def lengths(corpus: Corpus) -> list[int]:
    return [len(text) for text in corpus.texts.values()]


@given(TEXTS, st.integers(20, 60), st.integers(1, 1_000), st.booleans())
def test_each_passage_is_at_its_places_and_no_word_is_lost(
    text: str, window: int, first_line: int, halved: bool
) -> None:
    corpus = corpus_of(text, window=window, first_line=first_line)
    for key in list(corpus.texts) if halved else []:
        if len(corpus.texts[key]) > MIN_CHARS:
            corpus.halve([key])
    lines = text.split("\n")
    found = 0
    for key, passage in corpus.texts.items():
        for place in corpus.places[key]:
            found += len("".join(passage.split()))
            if place.text_index >= 0:
                continue
            lines_there = "\n".join(lines[place.first_line - first_line : place.last_line - first_line + 1])
            assert passage in lines_there
            assert passage.strip() == passage != ""
            assert passage.count("\n") == place.last_line - place.first_line
    assert found == len("".join(text.split())) + len("atext")
    assert corpus.passages == sum(map(len, corpus.places.values()))


def test_the_same_text_is_there_once_with_all_its_places() -> None:
    corpus = Corpus("", context_length=512, max_passages=10)
    corpus.add([Document("/b", "same\n", 3, 3, 5, "utf-8", "text")], ["same", "other", "\n same \n"])
    (places, _) = corpus.places.values()
    assert [str(place) for place in places] == ["/b:3", "texts[0]", "texts[2]"]
    assert corpus.passages == 4


@pytest.mark.parametrize(
    ("text", "window", "longest"),
    [
        ("The quick brown fox jumps over it. " * 500, 8_192, 1_200),
        ("The quick brown fox jumps over it. " * 500, 512, 1_200),
        ("The quick brown fox jumps over it. " * 500, 256, 900),
        ("字" * 5_000, 512, 450),
        ("👍" * 5_000, 8, MIN_CHARS),
    ],
)
def test_passages_fit_the_context_in_any_script(text: str, window: int, longest: int) -> None:
    found = lengths(corpus_of(text, window=window))
    assert longest / 2 < max(found) <= longest


def test_a_changed_line_leaves_the_other_passages_as_they_were() -> None:
    paragraphs = [f"Paragraph {number} speaks of {number * 7919} things.\n" * 8 + "\n" for number in range(30)]
    before = corpus_of("".join(paragraphs))
    paragraphs[3] = paragraphs[3].replace("things", "thongs")
    after = corpus_of("".join(paragraphs))
    assert 1 <= len(set(after.texts) - set(before.texts)) <= 3


def test_sizes_fall_to_the_shortest() -> None:
    assert list(PASSAGE_CHARS) == sorted(PASSAGE_CHARS, reverse=True) and PASSAGE_CHARS[-1] == MIN_CHARS


def test_too_many_passages_and_none_are_told_with_their_number() -> None:
    with pytest.raises(InvalidArgument, match=r"There are 31 passages; at most 30 .*limits\.passages"):
        Corpus("", context_length=512, max_passages=30).add([], [f"text {number}" for number in range(31)])
    with pytest.raises(InvalidArgument, match="nothing to search"):
        Corpus("", context_length=512, max_passages=30).add([], ["", " \n"])
