"""Texts that differ in presentation only have one form; others do not."""

from __future__ import annotations

import pytest

from ollama_mcp.formats.comparison import comparable, same_text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Screenshot at 3.04.05\u202fPM.png", "Screenshot at 3.04.05 PM.png"),
        ("a\u00a0b\u3000c\u2800d\td", "a b c d d"),
        ("  a \n\n b ", "a b"),
        ("u\u0308ber", "\u00fcber"),
        ("\ufb01le \uff21\uff11", "file A1"),
        ("a\u200bb\u00adc\ufeff\u202e", "abc"),
        ("\u2764\ufe0f", "\u2764"),
        ("2024\u20112025 \u2013 \u2014 \u2212 \u2010", "2024-2025 - - - -"),
        ("\u201cIt\u2019s\u201d \u00abso\u00bb 5\u2032 6\u2033 \u00b4a`", '"It\'s" "so" 5\' 6" \'a\''),
        ("hyphen-\nation and hyphen\u2010\r\n  ation, soft\u00ad\nly", "hyphenation and hyphenation, softly"),
    ],
)
def test_presentations_of_one_text_have_one_form(one: str, other: str) -> None:
    assert comparable(one) == comparable(other) == other
    assert same_text(other, [one, "x"]) == [one]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A", "a"),
        ("a b", "ab"),
        ("a-b", "ab"),
        ("1-\n2", "12"),
        ("e", "\u00e9"),
        ("'", '"'),
        ("\u0430", "a"),
        ("", "-"),
    ],
)
def test_other_texts_stay_different(one: str, other: str) -> None:
    assert comparable(one) != comparable(other)


def test_the_exact_text_wins_and_several_others_are_all_given() -> None:
    presentations = ["a\u00a0b", "a\u202fb"]
    assert same_text("a b", [*presentations, "a b"]) == ["a b"]
    assert same_text("a b", [*presentations, "ab"]) == presentations
