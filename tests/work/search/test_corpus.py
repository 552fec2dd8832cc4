"""Passages with their places: every word is in one, and every place is where its text is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.work.files.documents import Document
from ollama_mcp.work.search.corpus import MIN_CHARS, PASSAGE_CHARS, Corpus

# Titles, definitions, rows and breaks; each gets words of its own, so that none can be lost behind another.
PIECES = st.lists(
    st.sampled_from(
        [
            *("word ", "\n", "\n\n", "  ", "sentence. ", "é"),
            *("# title ", "\n## sub ", "\ndef f(): ", "\n    x = ", "\n```\n"),
        ]
    ),
    max_size=200,
)
NAMES = ("/a", "/a.md", "/a.py", "/a.csv", "/a.jsonl")


def corpus_of(text: str, *, window: int = 512, first_line: int = 1, most: int = 10_000, name: str = "/a") -> Corpus:
    corpus = Corpus("", context_length=window, max_passages=most)
    corpus.add([Document(name, text, first_line, first_line, len(text.encode()), "utf-8", "text")], ["a text"])
    return corpus


def lengths(corpus: Corpus) -> list[int]:
    return [len(text) for text in corpus.texts.values()]


@settings(deadline=None, derandomize=True)
@given(PIECES, st.integers(20, 60), st.integers(1, 1_000), st.booleans(), st.sampled_from(NAMES))
def test_each_passage_is_at_its_places_and_no_word_is_lost(
    pieces: list[str], window: int, first_line: int, halved: bool, name: str
) -> None:
    words = [f"{chr(0x4E00 + number)}" for number in range(len(pieces))]
    text = "".join(piece + word for piece, word in zip(pieces, words, strict=True))
    corpus = corpus_of(text, window=window, first_line=first_line, name=name)
    for key in list(corpus.texts) if halved else []:
        if len(corpus.texts[key]) > MIN_CHARS:
            corpus.halve([key])
    lines = text.split("\n")
    found = ""
    for key, passage in corpus.texts.items():
        for place in corpus.places[key]:
            found += passage + corpus.headings.get(key, "")
            if place.text_index >= 0:
                continue
            lines_there = "\n".join(lines[place.first_line - first_line : place.last_line - first_line + 1])
            assert passage in lines_there
            assert passage.strip() == passage != ""
            assert place.row or passage.count("\n") == place.last_line - place.first_line
    # The first row of a table is the heading of the others, cut where it is long.
    header = lines[0] if name == "/a.csv" and first_line == 1 else ""
    assert set(words) - set(header) <= set(found)
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


def test_a_passage_has_the_heading_of_its_section_and_is_searched_with_it() -> None:
    text = (
        "# Guide\n\nShort.\n\n## Install\n\n" + "Many words about it. " * 10 + "\n\n## Use\n\n" + "Other words. " * 20
    )
    corpus = corpus_of(text, name="/guide.md", window=256)
    found = [(str(corpus.places[key][0]), corpus.headings[key]) for key in corpus.texts if corpus.is_from_file(key)]
    assert found == [("/guide.md:1-7", "Guide, Install"), ("/guide.md:9-11", "Guide > Use")]
    first = next(iter(corpus.texts))
    assert corpus.embedding_text(first).startswith("Guide, Install\n# Guide\n\nShort.")


def test_long_sections_overlap_and_their_halves_keep_the_heading() -> None:
    body = "".join(f"    line {number} says something of its own\n" for number in range(60))
    corpus = corpus_of(f"def long():\n{body}", name="/a.py", window=256)
    (key, first), (_, second), *_ = corpus.texts.items()
    assert first.splitlines()[-1].strip() == second.splitlines()[0]
    half = corpus.halve([key])[0]
    assert corpus.headings[half] == "long" and key not in corpus.headings


def test_the_same_text_under_two_headings_is_two_passages() -> None:
    corpus = corpus_of("# A\n\nSame.\n" + "\n" * 200 + "# B\n\nSame.\n" + "x " * 200, name="/a.md")
    assert corpus.passages == 3 == len(corpus.texts)


def test_a_row_stands_below_the_names_of_its_columns() -> None:
    corpus = corpus_of("id;the words\n1;cat\n2;dog\n", name="/a.csv")
    first = next(iter(corpus.texts))
    assert corpus.full_text(first) == "id, the words\n1;cat"
