"""The words of a text for a search: identifiers whole and in parts, Chinese and Japanese as pairs of characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterator

# What may join the parts of one name: `snake_case.py`, `a/b`, `v0.30.1`, `std::vector`, `TS-999`, `a@b.org`; C++, C#.
JOINERS = "_-./\\:@+#"
_NAME = re.compile(r"\w+(?:[-./\\:@+#]+\w+)*(?:[+#]+(?!\w))?")
_PARTS = re.compile(r"[-./\\:@+#]+")
_HUMPS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")
_VERSION = re.compile(r"[vV](?=\d)")
# Scripts that write no spaces (Unicode blocks): Kana, CJK with its extensions, Thai to Khmer.
_SPACELESS = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1780-\u17ff\U00020000-\U0003ffff]+"
)
# A token of a megabyte is no word that anybody asks for.
_MAX_CHARS = 100


def words_of(text: str) -> Iterator[str]:
    """Yield the words of a text in order, as they are compared: lower-case, without accents, plurals of English cut.

    A name comes whole, then in its parts: `ModelCard.fromJSON` is `modelcard.fromjson`, `modelcard`, `model`, `card`,
    and so on. No word holds a space or a quotation mark.
    """
    for name in names_of(text):
        yield from words_of_name(name)


def names_of(text: str) -> list[str]:
    """The names in a text: the pieces that `words_of` takes apart, each for itself."""
    return _NAME.findall(text)


def words_of_name(name: str) -> Iterator[str]:
    """Yield the words of a name."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
    if not name.isascii() and _SPACELESS.search(name):
        yield from _mixed(name)
    else:
        yield from _name(name)


def spans_of(text: str, wanted: Container[str]) -> Iterator[tuple[int, int, str]]:
    """Yield where words stand in a text, in order: first and last offset of the name or pair, and the word."""
    for match in _NAME.finditer(text):
        name, start = match.group(), match.start()
        if name.isascii() or not _SPACELESS.search(name):
            if (word := next((word for word in words_of_name(name) if word in wanted), None)) is not None:
                yield start, match.end(), word
            continue
        for length in (2, 1):
            found = [at for at in range(len(name) - length + 1) if name[at : at + length] in wanted]
            yield from ((start + at, start + at + length, name[at : at + length]) for at in found)
            if found:
                break


def identifier_share(text: str) -> float:
    """The share of the names in a text that are no plain words: with a digit, a joiner or a capital inside."""
    names = names_of(text)
    return sum(map(_is_identifier, names)) / max(1, len(names))


def _is_identifier(name: str) -> bool:
    return any(char in JOINERS or char.isdigit() for char in name) or any(char.isupper() for char in name[1:])


def _name(name: str) -> Iterator[str]:
    if name.isalpha() and (name.islower() or name[1:].islower()):
        yield _plain(name)
        return
    pieces = list(filter(None, _PARTS.split(name)))
    words = [name]
    for piece in pieces if len(pieces) > 1 else [name]:
        humps = _HUMPS.findall(piece)
        words += [piece, *(humps if len(humps) > 1 else [])]
    if _VERSION.match(name):
        words.append(name[1:])
    yield from dict.fromkeys(map(_plain, words))


def _mixed(name: str) -> Iterator[str]:
    """Pairs of characters where a script has no spaces, and names between them."""
    at = 0
    for run in _SPACELESS.finditer(name):
        yield from _names_in(name[at : run.start()])
        at, chars = run.end(), run.group()
        yield from (chars[place : place + 2] for place in range(len(chars) - 1))
        # For queries of one character.
        yield from chars
    yield from _names_in(name[at:])


def _names_in(text: str) -> Iterator[str]:
    for match in _NAME.finditer(text):
        yield from _name(match.group())


def _plain(word: str) -> str:
    word = word[:_MAX_CHARS].casefold()
    if not word.isascii():
        word = "".join(char for char in unicodedata.normalize("NFKD", word) if not unicodedata.combining(char))
        return unicodedata.normalize("NFC", word)
    return _singular(word) if word.isalpha() else word


def _singular(word: str) -> str:
    """Harman's S stemmer (1991): what is cut is the plural alone, so that names stay apart."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return f"{word[:-3]}y"
    return word[:-1]
