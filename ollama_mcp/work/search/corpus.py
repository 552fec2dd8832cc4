"""The corpus that is searched: passages of files and texts, each distinct text once, with all its places."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.files.documents import Document
from ollama_mcp.work.files.passages import split_document
from ollama_mcp.work.search.parts import parts_of

# Fixed steps: a text that changes a little is still split as before, and its other passages are found in the store.
PASSAGE_CHARS = (1_200, 900, 600, 450, 300, 200, 150, 100, 60, 30)
# A text of this size that does not fit is not split further: then it is the model that cannot be used.
MIN_CHARS = 30
# How much of a context an estimate may fill. It may be wrong all the same; then the server refuses the passage, and it
# is halved.
_FILL_RATIO = 0.8
_SPECIAL_TOKENS = 8
# How much of a passage the next one of the same section repeats: what stands across the cut is found all the same.
_OVERLAP_DIVISOR = 8
# The most that a heading takes of a passage.
_HEADING_SHARE = 0.25


# Changes with whatever changes how a text is cut: what is known of files is good for one way only.
_CUT_VERSION = 1


class Place(NamedTuple):
    """Where a passage is: lines of a file, or a text of the call by its index (-1 for files).

    The fields are in reading order, so that places sort by it. In a table a row is one place, with all its lines; `row`
    is its number, or 0.
    """

    path: str
    text_index: int
    first_line: int
    last_line: int
    row: int = 0

    def __str__(self) -> str:
        if self.text_index >= 0:
            return f"texts[{self.text_index}]"
        lines = str(self.first_line)
        return f"{self.path}:{lines}" if self.first_line == self.last_line else f"{self.path}:{lines}-{self.last_line}"


class Corpus:
    """All passages of a call, by the hash of what is embedded of them (see `passage_key`).

    Args:
        prefix: What the model expects before each passage.
        context_length: The model's context in tokens.
        max_passages: Limit for all passages, repeated ones included.

    Attributes:
        texts: The passages, each distinct text once.
        headings: What those stand under that have a heading, such as the titles of their sections.
        places: Where each of them is, at least one place; also of passages whose text is not in `texts` yet.
        passages: How many there are, repeated ones included.
        cut: How texts are cut into passages: the same text is cut the same way where this is the same.
        halved: The files of which passages were cut again.
        load: Puts the texts of passages into `texts`.
    """

    def __init__(self, prefix: str, *, context_length: int, max_passages: int) -> None:
        # Plain dictionaries of bytes and text, and no object for each passage: with hundreds of thousands of objects
        # the garbage collector stops the whole process.
        self.texts: dict[bytes, str] = {}
        self.headings: dict[bytes, str] = {}
        self.places: dict[bytes, list[Place]] = {}
        self.passages = 0
        self.cut = f"{_CUT_VERSION} {context_length} {prefix}"
        self.halved: set[str] = set()
        self.load: Callable[[Iterable[bytes]], Awaitable[None]] = _nothing_to_load
        self._context_length = context_length
        self._prefix, self._max_passages = prefix, max_passages
        self._token_budget = max(1.0, _FILL_RATIO * (context_length - _SPECIAL_TOKENS - estimate_tokens(prefix)))

    def add(self, documents: Iterable[Document], texts: Sequence[str]) -> None:
        """Split and add files that were read, and texts; blocking, call it in a thread.

        Raises:
            InvalidArgument: There is nothing to search, or more than may be searched.
        """
        for document in documents:
            self._add_document(document)
        for index, text in enumerate(texts):
            self._split(_document("", text, 1), index, self._passage_chars(_tokens_per_char(text)))
        if not self.passages:
            raise InvalidArgument(
                "There is nothing to search: all that was given is empty.", next_step="Give files or texts with words."
            )
        if self.passages > self._max_passages:
            raise InvalidArgument(
                f"There are {self.passages:,} passages; at most {self._max_passages:,} are searched "
                "(setting limits.passages).",
                next_step="Give fewer files, a narrower pattern or ranges of lines, or raise the setting.",
            )

    def add_known(self, path: str, entries: Iterable[tuple[bytes, int, int, int]]) -> None:
        """Add passages of a file that is known: key, first and last line, row or 0."""
        for key, first, last, row in entries:
            self.passages += 1
            if self.passages <= self._max_passages:
                self.places.setdefault(key, []).append(Place(path, -1, first, last, row))

    def restore(self, documents: Iterable[Document]) -> None:
        """Put in the texts of passages that are known, as far as these documents have them."""
        read = Corpus(self._prefix, context_length=self._context_length, max_passages=self._max_passages)
        for document in documents:
            read._add_document(document)
        for key, text in read.texts.items():
            if key in self.places and key not in self.texts:
                self.texts[key] = text
                if key in read.headings:
                    self.headings[key] = read.headings[key]

    def embedding_text(self, key: bytes) -> str:
        """Return what is embedded of a passage."""
        return self._prefix + self.full_text(key)

    def full_text(self, key: bytes) -> str:
        """Return a passage below its heading."""
        heading = self.headings.get(key)
        return f"{heading}\n{self.texts[key]}" if heading else self.texts[key]

    def is_from_file(self, key: bytes) -> bool:
        """Return whether a passage is in a file."""
        return any(place.text_index < 0 for place in self.places[key])

    def halve(self, keys: Iterable[bytes]) -> list[bytes]:
        """Replace passages by shorter ones; return the keys of those that are new."""
        added: list[bytes] = []
        for key in keys:
            text, heading = self.texts.pop(key), self.headings.pop(key, "")
            chars = max(MIN_CHARS, (len(text) + 1) // 2)
            for place in self.places.pop(key):
                self.passages -= 1
                self.halved.add(place.path)
                whole = place if place.row else None
                document = _document(place.path, text, place.first_line)
                added += self._split(document, place.text_index, chars, whole, heading, overlaps=False)
        return added

    def cache_key(self, space: str) -> bytes:
        """Return a hash of these passages, and of the space that their vectors belong to."""
        return hashlib.blake2b(b"".join([space.encode(), *sorted(self.places)]), digest_size=16).digest()

    def _add_document(self, document: Document) -> None:
        tokens_per_char = _tokens_per_char(document.text)
        most = int(_HEADING_SHARE * self._token_budget / tokens_per_char)
        for part in parts_of(document, self._passage_chars(tokens_per_char)):
            place = Place(document.path, -1, part.first_line, part.last_line, part.row) if part.row else None
            heading = part.heading[:most]
            chars = self._passage_chars(tokens_per_char, len(heading))
            self._split(_document(document.path, part.text, part.first_line), -1, chars, place, heading)

    def _passage_chars(self, tokens_per_char: float, heading_chars: int = 0) -> int:
        """The largest size at which passages below a heading fit the context, by estimate."""
        budget = self._token_budget / tokens_per_char - heading_chars
        return next((chars for chars in PASSAGE_CHARS if chars <= budget), MIN_CHARS)

    def _split(
        self,
        document: Document,
        text_index: int,
        chars: int,
        whole: Place | None = None,
        heading: str = "",
        *,
        overlaps: bool = True,
    ) -> list[bytes]:
        """Add the passages of a document; return the keys of those that are new. `whole` is the place of them all."""
        added: list[bytes] = []
        for passage in split_document(document, chars=chars, overlap=chars // _OVERLAP_DIVISOR if overlaps else 0):
            text = passage.text.strip()
            if not text:
                continue
            self.passages += 1
            if self.passages > self._max_passages:
                # Only counted, for the error.
                continue
            leading_space = passage.text[: len(passage.text) - len(passage.text.lstrip())]
            first_line = passage.first_line + leading_space.count("\n")
            key = passage_key(self._prefix + text, heading)
            if key not in self.texts:
                self.texts[key] = text
                if heading:
                    self.headings[key] = heading
                if key not in self.places:
                    self.places[key] = []
                    added.append(key)
            place = Place(document.path, text_index, first_line, first_line + text.count("\n"))
            self.places[key].append(whole or place)
        return added


async def _nothing_to_load(keys: Iterable[bytes]) -> None:
    """All texts are there."""


def passage_key(embedding_text: str, heading: str = "") -> bytes:
    """Return the hash by which the vector of a text is stored; prefix and heading count, since they change the vector.

    A heading is hashed apart: it is no part of the text that is shown.
    """
    # Lone surrogates are possible in JSON, and must not stop the call here.
    above = hashlib.blake2b(heading.encode("utf-8", "surrogatepass"), digest_size=16).digest() if heading else b""
    return hashlib.blake2b(embedding_text.encode("utf-8", "surrogatepass"), digest_size=16, salt=above).digest()


def _tokens_per_char(text: str) -> float:
    # Scripts differ: Chinese takes several times more tokens for a character than English.
    return max(0.01, estimate_tokens(text) / max(1, len(text)))


def _document(path: str, text: str, first_line: int) -> Document:
    return Document(path, text, first_line, first_line + text.count("\n"), 0, "", "text")
