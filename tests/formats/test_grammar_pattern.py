import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_mcp.formats.grammar_pattern import grammar_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "other"),
    [
        ("^[A-Z]{3}-[0-9]{2}$", "ABC-12", "ABC-1"),
        ("[0-9]", "a1b", "ab"),
        (r"^\d{2}\w$", "12_", "1a_"),
        (r"^a\sb\.c$", "a b.c", "a bxc"),
        ("^(?:ab)+$", "abab", "aba"),
        ("^a+?b$", "aab", "b"),
        ("^é[à-ÿ]$", "éê", "éa"),
        ("^a.*$", "a b", "ba"),
        ("a|b", "xbx", "xcx"),
        ("^(red|green)$", "green", "greener"),
        (r"^[\w.-]+@\S+$", "a-b@c.d", "a b@c"),
        ("^[^a]{2,}$", "bcd", "bad"),
        ("^[ -~]$", "x", "é"),
    ],
)
def test_a_pattern_keeps_its_meaning(pattern: str, text: str, other: str):
    translated = grammar_pattern(pattern)
    assert translated is not None and translated.startswith("^") and translated.endswith("$")
    assert re.search(translated, text) and not re.search(translated, other)


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "^(?=a)x$",
            r"^\p{L}$",
            r"^(a)\1$",
            "^a|b$",
            "^a{0,3000}$",
            "^$",
            "",
            "^(a$",
            "^a)$",
            "^[a$",
            r"^\bx$",
            "^*$",
        ),
        # Between the quotes of a JSON string they end it, or begin an escape.
        *('^"a"$', r"^\\$", r"^\t$"),
    ],
)
def test_a_pattern_that_no_grammar_has_is_none(pattern: str):
    assert grammar_pattern(pattern) is None


@given(st.text(alphabet='ab"\\.[]^-$(){}?*+|,019dwsW é', max_size=12), st.text(alphabet='ab"\\\n\t \x7f0é', max_size=4))
def test_no_translation_matches_what_would_break_a_json_string(pattern: str, text: str):
    translated = grammar_pattern(pattern)
    if translated is not None and re.fullmatch(translated, text):
        assert not set(text) & set('"\\\n\t\x7f')
