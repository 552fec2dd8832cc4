"""The Modelfile language, parsed as Ollama's own parser does it, and the fields of POST /api/create that it asks for.

Reference: https://docs.ollama.com/modelfile, and the recorded `modelfile` fields of `show`. Names of
instructions are case-insensitive. A value ends with its line, unless it begins with a quote: then it ends at the first
line that ends with the same quote (`"` or three of them), and nothing inside is escaped. There is no continuation by
backslash. `#` begins a comment only where an instruction could begin.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.options import BLOCKED_OPTIONS, OPTIONS, REMOVED_OPTIONS, check_options

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

_BLANKS_AND_COMMENTS = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_WORD = re.compile(r"[A-Za-z]*")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_]*")
_LINE_END = re.compile(r"[\r\n]|\Z")
_LINE_BREAK = re.compile(r"\r\n?|\n")
_VERSION = re.compile(r"v?(\d+(?:\.\d+){0,2}(?:[-+][0-9A-Za-z.+-]+)?)")
# Instructions whose last value becomes the field of that name as it is.
_SINGLE_VALUES = ("template", "system", "renderer", "parser")


class ModelfileError(InvalidArgument):
    """A Modelfile that cannot be parsed; tells the position and not the text there, which may be a secret.

    Only a word that is nearly one of the language is quoted, since that is what was meant.

    Args:
        source: What the message calls the Modelfile.
        line: Line of the error, from 1.
        column: Column in characters, from 1.
        reason: What is wrong, without a full stop.
        next_step: As in OllamaMCPError.
    """

    def __init__(self, source: str, line: int, column: int, reason: str, *, next_step: str = "") -> None:
        super().__init__(f"{source}, line {line}, column {column}: {reason}.", next_step=next_step)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Args:
        name: Such as "from", in lower case.
        value: Its value, without the quotes around it.
        key: The name of a PARAMETER, the role of a MESSAGE.
        line: Its line, from 1; ignored in comparisons.
        column: Its column in characters, from 1; ignored in comparisons.
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
        source: What messages call the Modelfile; ignored in comparisons.
    """

    instructions: tuple[Instruction, ...]
    source: str = field(default="modelfile", compare=False)

    def all(self, name: str) -> list[Instruction]:
        """The instructions of that name."""
        return [each for each in self.instructions if each.name == name]

    def last(self, name: str) -> str:
        """The value of the last instruction of that name, which is the one that counts; "" where there is none."""
        return next((each.value for each in reversed(self.instructions) if each.name == name), "")

    def error(self, at: Instruction, reason: str, *, next_step: str = "") -> ModelfileError:
        """The error of an instruction that cannot be carried out."""
        return ModelfileError(self.source, at.line, at.column, reason, next_step=next_step)


def decode_modelfile(data: bytes) -> str:
    """The text of a Modelfile: UTF-16 if it begins with that byte order mark, else UTF-8, invalid bytes replaced."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def parse_modelfile(text: str, *, source: str = "modelfile") -> Modelfile:
    """Parse a Modelfile.

    Args:
        text: All of it.
        source: What messages call it.

    Raises:
        ModelfileError: An unknown instruction, one without a value, an unknown role, a quote that is never
            closed, or no FROM.
    """
    found = tuple(_Parser(text, source).instructions())
    if not any(each.name == "from" for each in found):
        raise ModelfileError(source, 1, 1, "no FROM instruction", next_step="Begin with FROM and a model's name.")
    return Modelfile(found, source)


def starts_with_instruction(text: str) -> bool:
    """Whether a text begins with the name of an instruction, so that it is a Modelfile rather than a path."""
    position = _match_end(_BLANKS_AND_COMMENTS, text, 0)
    end = _match_end(_WORD, text, position)
    return text[position:end].lower() in INSTRUCTIONS and text[end : end + 1] in (" ", "\t", "\r", "\n", "")


def render_modelfile(instructions: Iterable[Instruction]) -> str:
    """The text that `parse_modelfile` parses into the same instructions.

    Raises:
        ValueError: A value cannot be written in this language, since it has no escapes.
    """
    return "".join(f"{_keyword(each)} {_quoted(each.value)}\n" for each in instructions)


def _nearly(word: str, known: Sequence[str]) -> str:
    """The known word that a misspelt one is nearest to, or ""."""
    return next(iter(difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.75)), "")


class _Parser:
    """Reads the instructions of a text from start to end."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._position = 0
        # A position, the number of its line, and where that line starts.
        self._counted = (0, 1, 0)

    def instructions(self) -> Iterator[Instruction]:
        while True:
            self._position = _match_end(_BLANKS_AND_COMMENTS, self._text, self._position)
            if self._position == len(self._text):
                return
            yield self._instruction()

    def _instruction(self) -> Instruction:
        start = self._position
        name = self._word(_WORD).lower()
        if name not in INSTRUCTIONS or (not self._at_space() and not self._at_line_end()):
            raise self._unknown_instruction(start, name)
        self._skip_space(name)
        key = ""
        if name == "parameter":
            key = self._word(_PARAMETER_NAME)
            if not key:
                raise self._error(self._position, "PARAMETER, one space and the parameter's name were expected")
            self._skip_space("parameter's name")
        elif name == "message":
            at = self._position
            key = self._word(_WORD)
            if key not in ROLES:
                meant = _nearly(key, ROLES)
                found = f"; {key!r} is perhaps {meant!r}" if meant else ""
                raise self._error(at, f"MESSAGE, one space and a role were expected: {', '.join(ROLES)}{found}")
            self._skip_space("message's role")
        value = self._value()
        line, column = self._line_and_column(start)
        if name == "from" and not value:
            raise self._error(start, "FROM has no value", next_step="Name a model, or the path of a model file.")
        return Instruction(name, value, key, line, column)

    def _word(self, pattern: re.Pattern[str]) -> str:
        end = _match_end(pattern, self._text, self._position)
        word, self._position = self._text[self._position : end], end
        return word

    def _at_space(self) -> bool:
        return self._text[self._position : self._position + 1] in (" ", "\t")

    def _at_line_end(self) -> bool:
        return self._text[self._position : self._position + 1] in ("\r", "\n", "")

    def _skip_space(self, what: str) -> None:
        """Skip the one space that must follow."""
        if not self._at_space():
            after = what.upper() if what in INSTRUCTIONS else f"the {what}"
            raise self._error(self._position, f"a space and a value were expected after {after}")
        self._position += 1

    def _value(self) -> str:
        end = _end_of_line(self._text, self._position)
        plain = self._text[self._position : end].strip()
        if not plain.startswith('"'):
            self._position = end
            return plain
        return self._quoted_value(self._text.index('"', self._position))

    def _quoted_value(self, opened: int) -> str:
        quote = '"""' if self._text.startswith('"""', opened) else '"'
        line = opened
        while True:
            stop = _end_of_line(self._text, line)
            end = line + len(self._text[line:stop].rstrip())
            if end - opened >= 2 * len(quote) and self._text.endswith(quote, opened, end):
                self._position = stop
                return self._text[opened + len(quote) : end - len(quote)]
            if stop == len(self._text):
                raise self._error(
                    opened, "the quote that opens here is never closed", next_step="End a line with the same quote."
                )
            line = stop + 1

    def _unknown_instruction(self, start: int, name: str) -> ModelfileError:
        known = f"Known: {', '.join(INSTRUCTIONS).upper()}."
        if name in INSTRUCTIONS:
            return self._error(start, f"unknown instruction: {name.upper()} needs a space after it", next_step=known)
        meant = _nearly(name, INSTRUCTIONS)
        if not meant:
            return self._error(start, "unknown instruction", next_step=known)
        word = self._text[start : self._position]
        return self._error(start, f"unknown instruction {word!r}", next_step=f"Closest: {meant.upper()}. {known}")

    def _error(self, position: int, reason: str, *, next_step: str = "") -> ModelfileError:
        return ModelfileError(self._source, *self._line_and_column(position), reason, next_step=next_step)

    def _line_and_column(self, position: int) -> tuple[int, int]:
        """Line and column of a position; counted on from the last one that was asked for, unless that is further on."""
        counted, line, begin = self._counted if self._counted[0] <= position else (0, 1, 0)
        for found in _LINE_BREAK.finditer(self._text, counted, position):
            line, begin = line + 1, found.end()
        self._counted = (position, line, begin)
        return line, position - begin + 1


def _match_end(pattern: re.Pattern[str], text: str, position: int) -> int:
    # These patterns match everywhere, at least the empty text.
    return cast("re.Match[str]", pattern.match(text, position)).end()


def _end_of_line(text: str, position: int) -> int:
    return cast("re.Match[str]", _LINE_END.search(text, position)).start()


def _keyword(instruction: Instruction) -> str:
    return f"{instruction.name.upper()} {instruction.key}" if instruction.key else instruction.name.upper()


def _quoted(value: str) -> str:
    if value and value == value.strip() and not value.startswith('"') and not re.search(r"[\r\n]", value):
        return value
    for quote in ('"""', '"'):
        # The parser itself decides, since a line of the value may end with the same quote.
        whole = f"{quote}{value}{quote}"
        try:
            if [each.value for each in _Parser(f"SYSTEM {whole}", "").instructions()] == [value]:
                return whole
        except ModelfileError:
            continue
    raise ValueError("The value has a line that ends with quotes, for which the language has no escape.")


def create_request_fields(modelfile: Modelfile) -> tuple[dict[str, Any], list[str]]:
    """The fields of a create request without the files, and the names of parameters that Ollama no longer uses.

    Raises:
        ModelfileError: A parameter that Ollama does not know or a value that it does not take.
    """
    fields: dict[str, Any] = {name: text for name in _SINGLE_VALUES if (text := modelfile.last(name))}
    parameters, dropped = _parameters(modelfile)
    lists: dict[str, Any] = {
        "parameters": parameters,
        "license": [each.value for each in modelfile.all("license")],
        "messages": [{"role": each.key, "content": each.value} for each in modelfile.all("message")],
        "capabilities": [each.value for each in modelfile.all("capability")],
        "requires": _requires(modelfile),
    }
    return fields | {name: value for name, value in lists.items() if value}, dropped


def _parameters(modelfile: Modelfile) -> tuple[dict[str, Any], list[str]]:
    parameters: dict[str, Any] = {}
    dropped: list[str] = []
    for each in modelfile.all("parameter"):
        if each.key in REMOVED_OPTIONS or each.key in BLOCKED_OPTIONS:
            dropped.append(each.key)
            continue
        value = _convert_parameter(modelfile, each)
        # All stop texts count; of the others the last.
        parameters[each.key] = [*parameters.get(each.key, []), *value] if isinstance(value, list) else value
    return parameters, dropped


def _convert_parameter(modelfile: Modelfile, instruction: Instruction) -> Any:
    """The value in the parameter's type; the error names what is allowed, and quotes nothing from the file."""
    option = OPTIONS.get(instruction.key)
    if option is None:
        close = difflib.get_close_matches(instruction.key.lower(), OPTIONS, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise modelfile.error(instruction, "unknown parameter", next_step=f"{hint}Known: {', '.join(OPTIONS)}.")
    try:
        return check_options({instruction.key: instruction.value})[instruction.key]
    except InvalidArgument:
        step = "Omit it, or use 1 or more." if instruction.key == "num_predict" else f"Meaning: {option.meaning}"
        raise modelfile.error(instruction, f"{instruction.key} must be {option.allowed}", next_step=step) from None


def _requires(modelfile: Modelfile) -> str:
    for each in modelfile.all("requires"):
        if not _VERSION.fullmatch(each.value):
            raise modelfile.error(each, "REQUIRES must be a version of Ollama", next_step="Write it as 0.14.0.")
    return modelfile.last("requires").removeprefix("v")
