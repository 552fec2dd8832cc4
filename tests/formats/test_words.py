"""The words of a text: names whole and in parts, scripts without spaces as pairs, the same for text and query."""

from __future__ import annotations

import pytest

from ollama_mcp.formats.words import identifier_share, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cats, asleep.", ["the", "cat", "asleep"]),
        ("Query queries class status", ["query", "query", "class", "status"]),
        ("snake_case", ["snake_case", "snake", "case"]),
        ("HTTPServer.fromJSON", ["httpserver.fromjson", "httpserver", "http", "server", "fromjson", "from", "json"]),
        ("src/app.py", ["src/app.py", "src", "app", "py"]),
        ("v0.30.1", ["v0.30.1", "v0", "v", "0", "30", "1", "0.30.1"]),
        ("TS-2304: 0x80070005", ["ts-2304", "ts", "2304", "0x80070005", "0", "x", "80070005"]),
        ("C++ and C#", ["c++", "and", "c#"]),
        ("Café Straße", ["cafe", "strasse"]),
        ("東京都", ["東京", "京都", "東", "京", "都"]),
        ("猫", ["猫"]),
        ("APIの使い方", ["api", "の使", "使い", "い方", "の", "使", "い", "方"]),
        ("\"NEAR\" * (x) AND 'y'", ["near", "x", "and", "y"]),
        (" \n\t", []),
    ],
)
def test_words_of_texts(text: str, words: list[str]):
    assert list(words_of(text)) == words


def test_no_word_holds_what_ends_a_word_in_the_index_and_a_long_line_gives_short_words():
    hostile = "\"; DROP 'x' \u3000a\u00a0b\u2028c \x00d" + "z" * 1_000_000
    words = list(words_of(hostile))
    assert all(word and not set(word) & set("\"' \x00\n\u3000\u00a0\u2028") for word in words)
    assert max(map(len, words)) <= 100


@pytest.mark.parametrize("text", ["where is PASSAGE_CHARS", "error 404", "callTool", "a/b.py", "K12"])
def test_a_name_is_an_identifier(text: str):
    assert identifier_share(text) > 0


@pytest.mark.parametrize("text", ["how does it sleep?", "Where is Berlin", "東京", ""])
def test_plain_words_are_none(text: str):
    assert identifier_share(text) == 0
