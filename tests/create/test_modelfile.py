"""The Modelfile language: what Ollama's own parser takes is taken, and means the same."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ollama_mcp.formats.modelfile import (
    INSTRUCTIONS,
    ROLES,
    Instruction,
    ModelfileError,
    decode_modelfile,
    parse_modelfile,
    render_modelfile,
    starts_with_instruction,
)

SECRET = "CANARY-hunter2"


def values(text: str) -> list[tuple[str, str, str]]:
    return [(each.name, each.key, each.value) for each in parse_modelfile(text).instructions]


def test_the_whole_language_is_read():
    text = """
# a comment
FROM llama3.2:3b
parameter temperature 0.5
Parameter stop <|im_end|>
PARAMETER stop "  two words "
TEMPLATE \"\"\"{{ .System }}
{{ .Prompt }}\"\"\"
SYSTEM You are Mario. # no comment
LICENSE MIT
MESSAGE user Hi
MESSAGE assistant "It's
me"
ADAPTER ./lora.gguf
DRAFT ./draft.gguf
RENDERER qwen3-coder
PARSER qwen3-coder
REQUIRES 0.14.0
  CAPABILITY decision
"""
    assert values(text) == [
        ("from", "", "llama3.2:3b"),
        ("parameter", "temperature", "0.5"),
        ("parameter", "stop", "<|im_end|>"),
        ("parameter", "stop", "  two words "),
        ("template", "", "{{ .System }}\n{{ .Prompt }}"),
        ("system", "", "You are Mario. # no comment"),
        ("license", "", "MIT"),
        ("message", "user", "Hi"),
        ("message", "assistant", "It's\nme"),
        ("adapter", "", "./lora.gguf"),
        ("draft", "", "./draft.gguf"),
        ("renderer", "", "qwen3-coder"),
        ("parser", "", "qwen3-coder"),
        ("requires", "", "0.14.0"),
        ("capability", "", "decision"),
    ]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("SYSTEM a", "a"),
        ("SYSTEM \t a b \t", "a b"),
        ("SYSTEM ", ""),
        ('SYSTEM ""', ""),
        ('SYSTEM """"""', ""),
        ('SYSTEM "a"', "a"),
        ('SYSTEM "a" b"', 'a" b'),
        ('SYSTEM "a\nb"', "a\nb"),
        ('SYSTEM """a "quoted" b"""', 'a "quoted" b'),
        ('SYSTEM """\na\n"""', "\na\n"),
        ('SYSTEM """a""" b\n"""', 'a""" b\n'),
        ('SYSTEM """"', None),
        ('SYSTEM "a\r\nb"', "a\r\nb"),
        ("SYSTEM a\\\nFROM y", "a\\"),
        ('SYSTEM say "hi"', 'say "hi"'),
        ("SYSTEM 'a'", "'a'"),
        ('SYSTEM "a"  \t\nFROM y', "a"),
        ("SYSTEM #5", "#5"),
    ],
)
def test_a_value_ends_where_ollamas_parser_ends_it(written: str, value: str | None):
    text = f"FROM x\n{written}"
    if value is None:
        with pytest.raises(ModelfileError, match="never closed"):
            parse_modelfile(text)
    else:
        assert parse_modelfile(text).all("system")[0].value == value


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_system(end: str):
    text = end.join(["FROM x", "# c", "SYSTEM y", f"{SECRET} z"])
    with pytest.raises(ModelfileError) as caught:
        parse_modelfile(text)
    assert (caught.value.line, caught.value.column) == (4, 1)
    assert values(end.join(["FROM x", "SYSTEM y"])) == [("from", "", "x"), ("system", "", "y")]


@pytest.mark.parametrize(
    ("text", "line", "column", "why"),
    [
        (f"{SECRET}=1", 1, 1, "unknown instruction"),
        (f"FROM x\n  {SECRET}", 2, 3, "unknown instruction"),
        (f"FROM x\nSYSTEM:{SECRET}", 2, 1, "unknown instruction"),
        ("FROM x\nSYSTEM", 2, 7, "a space and a value were expected after SYSTEM"),
        ("FROM x\nPARAMETER\n", 2, 10, "after PARAMETER"),
        (f"FROM x\nPARAMETER {SECRET}", 2, 17, "after the parameter's name"),
        ("FROM x\nPARAMETER  top_k 3", 2, 11, "one space and the parameter's name"),
        (f"FROM x\nMESSAGE {SECRET} y", 2, 9, "a role were expected: system, user, assistant"),
        ("FROM x\nMESSAGE user", 2, 13, "after the message's role"),
        (f'FROM x\nSYSTEM "{SECRET}\n\n', 2, 8, "never closed"),
        (f"SYSTEM {SECRET}", 1, 1, "no FROM instruction"),
        ("", 1, 1, "no FROM instruction"),
        ("FROM \n", 1, 1, "FROM has no value"),
        ('# c\nFROM ""\n', 2, 1, "FROM has no value"),
    ],
)
def test_a_mistake_is_told_by_its_place_and_never_quoted(text: str, line: int, column: int, why: str):
    with pytest.raises(ModelfileError) as caught:
        parse_modelfile(text, source="Modelfile 'x'")
    assert str(caught.value).startswith(f"Modelfile 'x', line {line}, column {column}: ")
    assert why in caught.value.message
    assert SECRET not in str(caught.value)
    assert len(str(caught.value)) <= 400


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FROM x\nPARAMTER top_k 3", "unknown instruction 'PARAMTER'. Closest: PARAMETER."),
        ("FORM x", "unknown instruction 'FORM'. Closest: FROM."),
        ("FROM x\nsytem y", "unknown instruction 'sytem'. Closest: SYSTEM."),
        ("FROM x\nSYSTEM: y", "SYSTEM needs a space after it. Known: "),
        ("FROM x\nMESSAGE asistant y", "'asistant' is perhaps 'assistant'."),
    ],
)
def test_a_word_that_is_nearly_one_of_the_language_is_quoted_with_what_was_meant(text: str, said: str):
    with pytest.raises(ModelfileError) as caught:
        parse_modelfile(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 400


def test_the_last_of_a_name_counts():
    modelfile = parse_modelfile("FROM a\nSYSTEM one\nSYSTEM two\nFROM b")
    assert (modelfile.last("system"), modelfile.last("from"), modelfile.last("template")) == ("two", "b", "")


def test_a_byte_order_mark_tells_the_encoding():
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert decode_modelfile("FROM ä".encode(encoding)) == "FROM ä"
    assert decode_modelfile(b"FROM \xff") == "FROM �"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("FROM x", True),
        ("# c\n  from x", True),
        ("SYSTEM", True),
        ("/home/me/Modelfile", False),
        ("Modelfile", False),
        ("", False),
    ],
)
def test_a_modelfile_is_told_from_a_path(text: str, is_one: bool):
    assert starts_with_instruction(text) is is_one


@pytest.mark.slow
def test_many_instructions_are_read_in_linear_time():
    count = 20_000
    text = "FROM x\n" + "MESSAGE user hi\n" * count + 'SYSTEM """' + "line\n" * count + '"""'
    assert len(parse_modelfile(text).instructions) == count + 2
    assert parse_modelfile(text).instructions[-1].line == count + 2


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_LINES = st.text(st.sampled_from('ab "#\\\r\n\t'), max_size=25)


@st.composite
def _instructions(draw: st.DrawFn) -> Instruction:
    name = draw(st.sampled_from(INSTRUCTIONS))
    value = draw(_TEXT | _LINES)
    key = ""
    if name == "parameter":
        key = draw(st.from_regex(re.compile(r"[A-Za-z0-9_]+", re.ASCII), fullmatch=True))
    elif name == "message":
        key = draw(st.sampled_from(ROLES))
    assume(name != "from" or value)
    return Instruction(name, value, key)


@given(st.lists(_instructions(), max_size=8))
def test_what_is_rendered_is_read_as_the_same(instructions: list[Instruction]):
    whole = [Instruction("from", "llama3.2"), *instructions]
    try:
        text = render_modelfile(whole)
    except ValueError:
        # Only a line that ends with quotes, inside a value that needs quotes itself, cannot be written.
        assert any(
            re.search(
                r'"[ \t\x0b\x0c\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*[\r\n]'
                r'|^"|"$',
                each.value,
            )
            for each in whole
        )
        return
    assert parse_modelfile(text).instructions == tuple(whole)


@given(_TEXT | _LINES)
def test_any_text_is_read_or_refused_with_a_place(text: str):
    try:
        parse_modelfile(text)
    except ModelfileError as error:
        assert error.line >= 1
        assert error.column >= 1
