"""What is searched: passages of files and texts, the same text once, each with all its places."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.passages import split
from ollama_mcp.work.readings import Document

# Fixed steps: a text that changes a little is still cut as before, so that its other passages are found in the store.
SIZES = (1_200, 900, 600, 450, 300, 200, 150, 100, 60, 30)
# Below this a text that does not fit is not cut further: then it is the model that cannot be used.
SHORTEST = 30
# How much of a context an estimate may fill; what it misses is found by the server's refusal.
_FILLED = 0.8
_SPECIAL_TOKENS = 8


class Place(NamedTuple):
    """Where a passage stands: lines of a file, or a text of the call by its index, -1 for files; in reading order."""

    path: str
    text: int
    first_line: int
    last_line: int

    def __str__(self) -> str:
        if self.text >= 0:
            return f"texts[{self.text}]"
        lines = str(self.first_line)
        return f"{self.path}:{lines}" if self.first_line == self.last_line else f"{self.path}:{lines}-{self.last_line}"


class Corpus:
    """All passages of a call, by the hash of what is embedded of them.

    Args:
        prefix: What the model wants before each passage.
        window: The model's context in tokens.
        most: Most passages.

    Attributes:
        texts: The passages, each text once.
        places: Where each of them stands, at least once.
        passages: How many there are, repeated ones too.
    """

    def __init__(self, prefix: str, *, window: int, most: int) -> None:
        # As few objects as can be: for hundreds of thousands the garbage collector halts everything.
        self.texts: dict[bytes, str] = {}
        self.places: dict[bytes, list[Place]] = {}
        self.passages = 0
        self._prefix, self._most = prefix, most
        self._room = max(1.0, _FILLED * (window - _SPECIAL_TOKENS - estimate_tokens(prefix)))

    def fill(self, documents: Iterable[Document], texts: Sequence[str]) -> None:
        """Add files that were read, and texts, whose place is their index however long they are. Work for a thread.

        Raises:
            InvalidArgument: There is nothing to search, or more than may be searched.
        """
        for document in documents:
            self._cut(document, -1, self._size(document.text))
        for index, text in enumerate(texts):
            self._cut(_document("", text, 1), index, self._size(text))
        if not self.passages:
            raise InvalidArgument(
                "There is nothing to search: all that was given is empty.", next_step="Give files or texts with words."
            )
        if self.passages > self._most:
            raise InvalidArgument(
                f"There are {self.passages:,} passages; at most {self._most:,} are searched (setting limits.passages).",
                next_step="Give fewer files, a narrower pattern or ranges of lines, or raise the setting.",
            )

    def sent(self, hashed: bytes) -> str:
        """Return what is embedded of a passage."""
        return self._prefix + self.texts[hashed]

    def is_from_file(self, hashed: bytes) -> bool:
        """Tell whether a passage stands in a file."""
        return any(place.text < 0 for place in self.places[hashed])

    def halve(self, hashes: Iterable[bytes]) -> list[bytes]:
        """Put shorter passages in the place of some; return the hashes of those that were not there yet."""
        added: list[bytes] = []
        for hashed in hashes:
            text = self.texts.pop(hashed)
            size = max(SHORTEST, (len(text) + 1) // 2)
            for place in self.places.pop(hashed):
                self.passages -= 1
                added += self._cut(_document(place.path, text, place.first_line), place.text, size)
        return added

    def key(self, space: str) -> bytes:
        """Return what tells these passages, in this order, from all others."""
        return hashlib.blake2b(b"".join([space.encode(), *self.texts]), digest_size=16).digest()

    def _size(self, text: str) -> int:
        """The largest size at which passages of a text fit the context, as far as can be estimated."""
        per_char = estimate_tokens(text) / max(1, len(text))
        return next((size for size in SIZES if size * per_char <= self._room), SHORTEST)

    def _cut(self, document: Document, index: int, size: int) -> list[bytes]:
        """Add the passages of a document; return the hashes of those that were not there yet."""
        added: list[bytes] = []
        for passage in split(document, chars=size):
            text = passage.text.strip()
            if not text:
                continue
            self.passages += 1
            if self.passages > self._most:
                # Only counted, for the error.
                continue
            blank = passage.text[: len(passage.text) - len(passage.text.lstrip())]
            first = passage.first_line + blank.count("\n")
            hashed = hash_of(self._prefix + text)
            if hashed not in self.texts:
                self.texts[hashed] = text
                self.places[hashed] = []
                added.append(hashed)
            self.places[hashed].append(Place(document.path, index, first, first + text.count("\n")))
        return added


def hash_of(sent: str) -> bytes:
    """Return what an embedded text is known by; its prefix counts, so that other prefixes are other texts."""
    return hashlib.blake2b(sent.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _document(path: str, text: str, first_line: int) -> Document:
    return Document(path, text, first_line, first_line + text.count("\n"), 0, "", "text")
