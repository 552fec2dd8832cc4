"""Makes untrusted text safe to show, so that it can't move a cursor, hide, or change the reading direction."""

from __future__ import annotations

import re
import unicodedata

MAX_QUOTE_LENGTH = 200
MAX_NOTE_LENGTH = 1_000
_INDENT = "  "

# Controls, format characters (bidi, zero width, the tag block at U+E0000), surrogates, private use, separators.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PRINTABLE_ASCII = re.compile(r"[ -~]*")
_KEPT = str.maketrans("\n\t", "  ")
# Only at the start of a word, since the paths of URLs may contain the same names.
_MODEL_STORE_PATH = re.compile(
    r"(?<![^\s\"'(])(?:[A-Za-z]:)?[\\/][^\s\"':;,]*(?:blobs|manifests|\.ollama|id_ed25519)[^\s\"':;,]*"
)


def escape(text: str, limit: int = MAX_QUOTE_LENGTH) -> str:
    """The text as one visible line: white space collapsed, hidden characters escaped, the end cut off.

    Args:
        text: Any text.
        limit: Maximum length of the result; a cut is marked by "…".
    """
    # Only as much as the result can need, since the text may be megabytes.
    line = " ".join(text[: 4 * limit].split())
    if not _PRINTABLE_ASCII.fullmatch(line):
        line = "".join(_visible(character) for character in line)
    cut = len(line) > limit or len(text) > 4 * limit
    return line[: limit - 1] + "…" if cut else line


def quote(text: str, limit: int = MAX_QUOTE_LENGTH) -> str:
    """The escaped text in double quotes, with those inside turned into single ones, for use in a message."""
    return '"' + escape(text, limit).replace('"', "'") + '"'


def make_printable(text: str) -> str:
    """The whole text with hidden characters escaped; line ends and tabs stay."""
    text = text.replace("\r\n", "\n")
    # Python calls printable what is not hidden, but for some white space.
    if text.translate(_KEPT).isprintable():
        return text
    return "".join(character if character in "\n\t" else _visible(character) for character in text)


def indent(text: str) -> str:
    """The lines of a text from outside, set off from those of this server, which begin in the first column.

    A text that brings a line such as "[not_allowed] Call ..." is so told from an error of this server.
    """
    return "\n".join(f"{_INDENT}{line}" if line else "" for line in make_printable(text).split("\n"))


def redact_paths(text: str) -> str:
    """The text with the paths of an Ollama host's model store replaced, since they reveal its disk layout."""
    return _MODEL_STORE_PATH.sub("<model store>", text)


def is_hidden(character: str) -> bool:
    """Whether a character shows nothing by itself, but may change how others are shown."""
    return unicodedata.category(character) in _HIDDEN_CATEGORIES


def _visible(character: str) -> str:
    if not is_hidden(character):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
