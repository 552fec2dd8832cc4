"""Quotes looked up in what a model read."""

from __future__ import annotations

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
