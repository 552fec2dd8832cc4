from ollama_mcp.formats.text import printable


def test_ordinary_text_stays_as_it_is():
    assert printable("Grüße\n\tan 日本 🦙") == "Grüße\n\tan 日本 🦙"


def test_hidden_characters_of_others_are_shown():
    hidden = "a\x1b[31m\u202eb\u200bc\U000e0041"
    shown = printable(hidden)
    assert shown == "a\\x1b[31m\\u202eb\\u200bc\\U000e0041"
