"""Quotes looked up in what a model read."""

from __future__ import annotations

import pytest

from ollama_mcp.work.chat.citations import check_quotes
from ollama_mcp.work.files.documents import Document


def test_a_quote_with_a_gap_takes_one_look_at_a_text_that_repeats_its_beginning():
    # To follow each of two million beginnings to the end of the text would take half an hour.
    text = "e e e e e e e e e e\n" * 200_000
    document = Document("a.txt", text, 1, 200_000, len(text), "utf-8", "text")
    (missing,) = check_quotes([{"quote": "e ... nowhere to be found", "path": "a.txt", "line": 1}], [document])
    assert missing.found == "not found"


def test_a_quote_with_a_gap_is_found_at_the_last_of_its_beginnings_too():
    document = Document("a.txt", "The end\nis not yet.\nThe end\nis near.\n", 1, 4, 40, "utf-8", "text")
    (found,) = check_quotes([{"quote": "The end ... is near.", "path": "a.txt", "line": 3}], [document])
    assert (found.found, found.at) == ("found", "a.txt:1")


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("It costs 12\u202f000\u00a0\u20ac in\u3000all.", "costs 12 000 \u20ac in all"),
        ("the \ufb01rst o\ufb03ce", "the first office"),
        ("u\u0308ber den Daecher\u200bn", "\u00fcber den Daechern"),
        ("2024\u20112025 \u2013 a plan\u2014of sorts", "2024-2025 - a plan-of sorts"),
        ('he said "no" \u2039twice\u203a', "he said 'no' 'twice'"),
        ("a well-known exam-\nple of hyphen\u00ad\nation", "well-known example of hyphenation"),
        ("a well-\nknown exam-\nple", "a well-known exam- ple"),
        ("a well-\nknown exam-\nple", "a well-\nknown exam-\nple"),
    ],
)
def test_a_quote_in_another_presentation_is_found(text: str, quote: str) -> None:
    document = Document("My\u00a0notes.md", f"Above.\n{text}\nBelow the\nend.\n", 1, 5, 60, "utf-8", "text")
    asked = [{"quote": quote, "path": "My notes.md", "line": 2}, {"quote": "Below the end", "path": "", "line": 1}]
    found, below = check_quotes(asked, [document])
    assert (found.found, found.at) == ("found", "My\u00a0notes.md:2")
    assert below.at == f"My\u00a0notes.md:{3 + text.count(chr(10))}"


@pytest.mark.parametrize("quote", ["it costs 13 000 in all", "never known example"])
def test_other_words_are_not_found(quote: str) -> None:
    document = Document("a.md", "It costs 12\u202f000 in all.\nA well-\nknown exam-\nple", 1, 4, 60, "utf-8", "text")
    (missing,) = check_quotes([{"quote": quote, "path": "a.md", "line": 1}], [document])
    assert missing.found == "not found"
