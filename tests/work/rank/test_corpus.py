"""Passages with their places: every word is in one, every place is where its text stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.work.rank.corpus import SHORTEST, SIZES, Corpus
from ollama_mcp.work.readings import Document

TEXTS = st.lists(st.sampled_from(["word ", "\n", "\n\n", "  ", "sentence. ", "é"]), max_size=300).map("".join)


def corpus_of(text: str, *, window: int = 512, first_line: int = 1, most: int = 10_000) -> Corpus:
    corpus = Corpus("", window=window, most=most)
    corpus.fill([Document("/a", text, first_line, first_line, len(text.encode()), "utf-8", "text")], ["a text"])
    return corpus


def lengths(corpus: Corpus) -> list[int]:
    return [len(text) for text in corpus.texts.values()]


@given(TEXTS, st.integers(20, 60), st.integers(1, 1_000), st.booleans())
def test_each_passage_stands_at_its_places_and_no_word_is_lost(
    text: str, window: int, first_line: int, halved: bool
) -> None:
    corpus = corpus_of(text, window=window, first_line=first_line)
    for hashed in list(corpus.texts) if halved else []:
        if len(corpus.texts[hashed]) > SHORTEST:
            corpus.halve([hashed])
    lines = text.split("\n")
    found = 0
    for hashed, passage in corpus.texts.items():
        for place in corpus.places[hashed]:
            found += len("".join(passage.split()))
            if place.text >= 0:
                continue
            stand = "\n".join(lines[place.first_line - first_line : place.last_line - first_line + 1])
            assert passage in stand
            assert passage.strip() == passage != ""
            assert passage.count("\n") == place.last_line - place.first_line
    assert found == len("".join(text.split())) + len("atext")
    assert corpus.passages == sum(map(len, corpus.places.values()))


def test_the_same_text_is_there_once_with_all_its_places() -> None:
    corpus = Corpus("", window=512, most=10)
    corpus.fill([Document("/b", "same\n", 3, 3, 5, "utf-8", "text")], ["same", "other", "\n same \n"])
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
        ("👍" * 5_000, 8, SHORTEST),
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
    assert list(SIZES) == sorted(SIZES, reverse=True) and SIZES[-1] == SHORTEST


def test_too_many_passages_and_none_are_told_with_their_number() -> None:
    with pytest.raises(InvalidArgument, match=r"There are 31 passages; at most 30 .*limits\.passages"):
        Corpus("", window=512, most=30).fill([], [f"text {number}" for number in range(31)])
    with pytest.raises(InvalidArgument, match="nothing to search"):
        Corpus("", window=512, most=30).fill([], ["", " \n"])
