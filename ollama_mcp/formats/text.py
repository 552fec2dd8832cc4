"""Text of others made safe to show: nothing in it can move a cursor, hide, or turn the reading direction."""

from __future__ import annotations

import re
import unicodedata

QUOTE_LIMIT = 200

# Controls, format characters (bidi, zero width, the tag block at U+E0000), surrogates, private use, separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PLAIN = re.compile(r"[ -~]*")
# At a word's beginning only, since the paths of URLs may hold the same names.
_PATH = re.compile(r"(?<![^\s\"'(])(?:[A-Za-z]:)?[\\/][^\s\"':;,]*(?:blobs|manifests|\.ollama|id_ed25519)[^\s\"':;,]*")


def escape(text: str, limit: int = QUOTE_LIMIT) -> str:
    """One visible line: white space runs become one space, hidden characters their escapes, the rest is cut at limit.

    Args:
        text: Anything.
        limit: Most characters of the result; a cut is shown by "…".
    """
    line = " ".join(text[: 4 * limit].split())
    if not _PLAIN.fullmatch(line):
        line = "".join(_visible(character) for character in line)
    cut = len(line) > limit or len(text) > 4 * limit
    return line[: limit - 1] + "…" if cut else line


def quote(text: str, limit: int = QUOTE_LIMIT) -> str:
    """`escape` in double quotes, the quotes inside turned into single ones: somebody else's words in our message."""
    return '"' + escape(text, limit).replace('"', "'") + '"'


def printable(text: str) -> str:
    """The whole text with hidden characters shown as their escapes; line ends and tabs stay."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(character if character in "\n\t" else _visible(character) for character in text)


def without_paths(text: str) -> str:
    """The text with the paths of an Ollama host's model store replaced, since they tell about its disk."""
    return _PATH.sub("<model store>", text)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
