"""The Modelfile language, read as Ollama's own parser reads it.

Reference: https://docs.ollama.com/modelfile, and the recorded `modelfile` fields of `show`. Instructions are spelled in
any case. A value ends with its line, unless it begins with a quote: then it ends at the first line that ends with the
same quote (`"` or three of them), and nothing inside is escaped. A backslash continues nothing. `#` begins a comment
only where an instruction could begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

from ollama_mcp.errors import InvalidArgument

INSTRUCTIONS = (
    "from",
    "parameter",
    "template",
    "system",
    "license",
    "message",
    "adapter",
    "draft",
    "renderer",
    "parser",
    "requires",
    "capability",
)
ROLES = ("system", "user", "assistant")

_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_WORD = re.compile(r"[A-Za-z]*")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_]*")
_LINE_END = re.compile(r"[\r\n]|\Z")
_NEW_LINE = re.compile(r"\r\n?|\n")


class ModelfileError(InvalidArgument):
    """A Modelfile that cannot be read; tells the place and never the text there, which may be somebody's secret.

    Args:
        source: What the message calls the Modelfile.
        line: Line of the mistake, from 1.
        column: Its column in characters, from 1.
        why: What is wrong, without a full stop.
        next_step: As in OllamaMCPError.
    """

    def __init__(self, source: str, line: int, column: int, why: str, *, next_step: str = "") -> None:
        super().__init__(f"{source}, line {line}, column {column}: {why}.", next_step=next_step)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Args:
        name: Such as "from", in lower case.
        value: What it says, without the quotes around it.
        key: The name of a PARAMETER, the role of a MESSAGE.
        line: Where it stands, from 1; does not count in comparisons.
        column: The same, in characters.
    """

    name: str
    value: str
    key: str = ""
    line: int = field(default=1, compare=False)
    column: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Modelfile:
    """The instructions in their order.

    Args:
        instructions: At least one of them is FROM.
        source: What messages call the Modelfile; does not count in comparisons.
    """

    instructions: tuple[Instruction, ...]
    source: str = field(default="modelfile", compare=False)

    def all(self, name: str) -> list[Instruction]:
        """The instructions of a name."""
        return [each for each in self.instructions if each.name == name]

    def last(self, name: str) -> str:
        """What the last instruction of a name says, which is the one that counts; "" where there is none."""
        return next((each.value for each in reversed(self.instructions) if each.name == name), "")

    def error(self, at: Instruction, why: str, *, next_step: str = "") -> ModelfileError:
        """The error of an instruction that cannot be followed."""
        return ModelfileError(self.source, at.line, at.column, why, next_step=next_step)


def decode(data: bytes) -> str:
    """The text of a Modelfile: UTF-16 where it begins with that byte order mark, else UTF-8 as far as it is."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def parse(text: str, *, source: str = "modelfile") -> Modelfile:
    """Read a Modelfile.

    Args:
        text: The whole of it.
        source: What messages call it.

    Raises:
        ModelfileError: An unknown instruction, one without a value, a role that is none, a quote that is never
            closed, or no FROM.
    """
    found = tuple(_Reader(text, source).instructions())
    if not any(each.name == "from" for each in found):
        raise ModelfileError(source, 1, 1, "no FROM instruction", next_step="Begin with FROM and a model's name.")
    return Modelfile(found, source)


def begins_as_instruction(text: str) -> bool:
    """Whether a text begins with the name of an instruction, so that it is a Modelfile rather than a path."""
    place = _end(_BETWEEN, text, 0)
    end = _end(_WORD, text, place)
    return text[place:end].lower() in INSTRUCTIONS and text[end : end + 1] in (" ", "\t", "\r", "\n", "")


def render(instructions: Iterable[Instruction]) -> str:
    """The text of which `parse` makes the same instructions.

    Raises:
        ValueError: A value cannot be written in this language, for want of an escape.
    """
    return "".join(f"{_head(each)} {_quoted(each.value)}\n" for each in instructions)


class _Reader:
    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._place = 0
        self._counted = (0, 1, 0)

    def instructions(self) -> Iterator[Instruction]:
        while True:
            self._place = _end(_BETWEEN, self._text, self._place)
            if self._place == len(self._text):
                return
            yield self._instruction()

    def _instruction(self) -> Instruction:
        start = self._place
        name = self._word(_WORD).lower()
        if name not in INSTRUCTIONS or (not self._at_space() and not self._at_line_end()):
            raise self._error(start, "unknown instruction", next_step=f"Known: {', '.join(INSTRUCTIONS).upper()}.")
        self._step(name)
        key = ""
        if name == "parameter":
            key = self._word(_PARAMETER_NAME)
            if not key:
                raise self._error(self._place, "PARAMETER, one space and the parameter's name were expected")
            self._step("parameter's name")
        elif name == "message":
            at = self._place
            key = self._word(_WORD)
            if key not in ROLES:
                raise self._error(at, f"MESSAGE, one space and a role were expected: {', '.join(ROLES)}")
            self._step("message's role")
        value = self._value()
        line, column = self._position(start)
        if name == "from" and not value:
            raise self._error(start, "FROM names nothing", next_step="Name a model, or the path of a model file.")
        return Instruction(name, value, key, line, column)

    def _word(self, pattern: re.Pattern[str]) -> str:
        end = _end(pattern, self._text, self._place)
        word, self._place = self._text[self._place : end], end
        return word

    def _at_space(self) -> bool:
        return self._text[self._place : self._place + 1] in (" ", "\t")

    def _at_line_end(self) -> bool:
        return self._text[self._place : self._place + 1] in ("\r", "\n", "")

    def _step(self, what: str) -> None:
        """Go over the one space that must follow."""
        if not self._at_space():
            said = what.upper() if what in INSTRUCTIONS else f"the {what}"
            raise self._error(self._place, f"a space and a value were expected after {said}")
        self._place += 1

    def _value(self) -> str:
        end = _end_of_line(self._text, self._place)
        plain = self._text[self._place : end].strip()
        if not plain.startswith('"'):
            self._place = end
            return plain
        return self._quoted_value(self._text.index('"', self._place))

    def _quoted_value(self, opened: int) -> str:
        quote = '"""' if self._text.startswith('"""', opened) else '"'
        line = opened
        while True:
            stop = _end_of_line(self._text, line)
            end = line + len(self._text[line:stop].rstrip())
            if end - opened >= 2 * len(quote) and self._text.endswith(quote, opened, end):
                self._place = stop
                return self._text[opened + len(quote) : end - len(quote)]
            if stop == len(self._text):
                raise self._error(
                    opened, "the quote that opens here is never closed", next_step="Its line's end must be the quote."
                )
            line = stop + 1

    def _error(self, place: int, why: str, *, next_step: str = "") -> ModelfileError:
        return ModelfileError(self._source, *self._position(place), why, next_step=next_step)

    def _position(self, place: int) -> tuple[int, int]:
        """Line and column of a place; counted on from the last one that was asked for, unless it lies behind."""
        counted, line, begin = self._counted if self._counted[0] <= place else (0, 1, 0)
        for found in _NEW_LINE.finditer(self._text, counted, place):
            line, begin = line + 1, found.end()
        self._counted = (place, line, begin)
        return line, place - begin + 1


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    # These patterns match everywhere, at least the empty text.
    return cast("re.Match[str]", pattern.match(text, place)).end()


def _end_of_line(text: str, place: int) -> int:
    return cast("re.Match[str]", _LINE_END.search(text, place)).start()


def _head(one: Instruction) -> str:
    return f"{one.name.upper()} {one.key}" if one.key else one.name.upper()


def _quoted(value: str) -> str:
    if value and value == value.strip() and not value.startswith('"') and not re.search(r"[\r\n]", value):
        return value
    for quote in ('"""', '"'):
        whole = f"{quote}{value}{quote}"
        try:
            if [each.value for each in _Reader(f"SYSTEM {whole}", "").instructions()] == [value]:
                return whole
        except ModelfileError:
            continue
    raise ValueError("The value has a line that ends with quotes, for which the language has no escape.")
