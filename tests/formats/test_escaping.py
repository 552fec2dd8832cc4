"""Untrusted text, made safe to show."""

from __future__ import annotations

import pytest

from ollama_mcp.formats.escaping import escape, make_printable, quote, redact_paths


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße 🎈 漢字", "Grüße 🎈 漢字"),
        ("two\n lines\t", "two lines"),
        ("\x1b[2J\x07\x9b", "\\x1b[2J\\x07\\x9b"),
        ("a\u202eb\u200bc\ufeff", "a\\u202eb\\u200bc\\ufeff"),
        ("\U000e0041\ue000", "\\U000e0041\\ue000"),
        ("\ud800", "\\ud800"),
    ],
)
async def test_what_can_not_be_seen_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


async def test_long_text_is_cut_with_a_mark() -> None:
    assert escape("x" * 10, 10) == "x" * 10
    assert escape("x" * 11, 10) == "x" * 9 + "…"
    assert escape(" " * 50 + "x", 10).endswith("…")


async def test_quotes_within_a_quote_become_single_ones() -> None:
    assert quote('model "x" not found') == "\"model 'x' not found\""


@pytest.mark.parametrize(
    "path",
    [
        "/usr/share/ollama/.ollama/models/blobs/sha256-11",
        "/srv/models/manifests/registry.ollama.ai/library/x/latest",
        r"C:\\Users\\ann\\.ollama\\id_ed25519",
    ],
)
async def test_paths_of_the_model_store_are_left_out(path: str) -> None:
    assert redact_paths(f"open {path}: no such file") == "open <model store>: no such file"


async def test_addresses_of_a_registry_stay() -> None:
    words = 'Get "https://registry.ollama.ai/v2/library/x/manifests/latest": dial tcp'
    assert redact_paths(words) == words


async def test_whole_text_keeps_its_lines_and_shows_what_is_hidden() -> None:
    assert make_printable("plain") == "plain"
    assert make_printable("a\n\tb\x1b\u202e") == "a\n\tb\\x1b\\u202e"


def test_ordinary_text_stays_as_it_is():
    assert make_printable("Grüße\n\tan 日本 🦙") == "Grüße\n\tan 日本 🦙"


def test_hidden_characters_of_others_are_shown():
    hidden = "a\x1b[31m\u202eb\u200bc\U000e0041"
    shown = make_printable(hidden)
    assert shown == "a\\x1b[31m\\u202eb\\u200bc\\U000e0041"
