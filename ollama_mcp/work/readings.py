"""Files as they were read: their text as blocks for a model, and receipts that say what was read, never its content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from ollama_mcp.access.wording import quoted, shortened

# More lines would cost the agent the tokens that the files were to spare it; what is beyond comes as one sum.
_MOST_RECEIPTS = 30
_WHY = 200


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text, or a range of its lines.

    Args:
        path: Real path, or address without its query.
        text: Already cut to the range, with "\\n" as its only line break.
        first_line: Counted from 1 in the file's text; of documents such as PDF in the text taken out of them.
        last_line: The last line there is; one before `first_line` in an empty file.
        bytes: Size of `text` in UTF-8.
        encoding: What a file of text was decoded from, such as "cp1252"; "" for other documents.
        kind: "text", "pdf", "docx", "html" or "notebook".
        notes: What was left out and matters, for the receipt.
    """

    path: str
    text: str
    first_line: int
    last_line: int
    bytes: int
    encoding: str
    kind: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unread:
    """What was asked for and not read; `why` is short, with the error's kind before it, and quotes no content."""

    asked: str
    why: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of the files of a call, in the order they were given.

    Args:
        documents: What was read.
        images: Paths and addresses of images among them, for `prepare_images`.
        unread: What was not.
    """

    documents: list[Document] = field(default_factory=list[Document])
    images: list[str] = field(default_factory=list[str])
    unread: list[Unread] = field(default_factory=list[Unread])


def as_block(document: Document, *, numbered: bool = False) -> str:
    """Return a document as a block of a prompt, with its path and lines at the head.

    A file cannot close its own block: the token in both fences is made from the text and stands nowhere in it. The same
    text has the same token, so that a prompt sent again is found in Ollama's cache.

    Args:
        document: What to show.
        numbered: Whether each line begins with its number and a tab; it costs tokens, and helps a model to quote.
    """
    fence = _fence(document)
    lines = f"{document.first_line}-{document.last_line}" if document.text else "none, it is empty"
    text = _numbered(document) if numbered else document.text
    end = "" if not text or text.endswith("\n") else "\n"
    return f'<file-{fence} path="{_plain(document.path)}" lines="{lines}">\n{text}{end}</file-{fence}>\n'


def receipts(reading: Reading, tokens: Callable[[str], int]) -> list[str]:
    """Return a line for each file that was read or not, beyond 30 of either one line for all others.

    Args:
        reading: What became of the files.
        tokens: Estimates the tokens of a text.
    """
    counts = [tokens(document.text) for document in reading.documents]
    pairs = list(zip(reading.documents, counts, strict=True))
    lines = [_receipt(document, count) for document, count in pairs[:_MOST_RECEIPTS]]
    if rest := pairs[_MOST_RECEIPTS:]:
        size, count = sum(document.bytes for document, _ in rest), sum(count for _, count in rest)
        lines.append(f"read {len(rest):,} more files: {_size(size)}, about {count:,} tokens")
    lines += [_refusal(unread) for unread in reading.unread[:_MOST_RECEIPTS]]
    if len(reading.unread) > _MOST_RECEIPTS:
        lines.append(f"not read: {len(reading.unread) - _MOST_RECEIPTS:,} more")
    return lines


def _receipt(document: Document, tokens: int) -> str:
    path = shortened(_plain(document.path))
    if not document.text:
        return "; ".join([f"read {path}: empty", *document.notes])
    kind = "" if document.kind == "text" else f" of the text in the {document.kind.upper()}"
    facts = [f"lines {document.first_line:,}-{document.last_line:,}{kind}", _size(document.bytes)]
    if document.encoding not in ("", "utf-8"):
        facts.append(document.encoding)
    return "; ".join([f"read {path}: {', '.join(facts)}, about {tokens:,} tokens", *document.notes])


def _refusal(unread: Unread) -> str:
    # Most messages name what was asked for; then once is enough.
    shown = quoted(unread.asked)
    place = "" if shown in unread.why else f"{shown}: "
    return f"not read: {place}{shortened(unread.why, _WHY)}"


def _size(count: int) -> str:
    return f"{count:,} bytes" if count < 1_000 else f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def _fence(document: Document) -> str:
    salt = 0
    while True:
        seed = f"{document.path}\n{document.first_line}\n{salt}\n{document.text}".encode(errors="replace")
        token = hashlib.blake2b(seed, digest_size=5).hexdigest()
        if token not in document.text:
            return token
        salt += 1


def _numbered(document: Document) -> str:
    lines = document.text.removesuffix("\n").split("\n") if document.text else []
    return "\n".join(f"{number}\t{line}" for number, line in enumerate(lines, start=document.first_line))


def _plain(path: str) -> str:
    """A path on one line that cannot end the attribute it stands in; names of files are not to be trusted."""
    if path.isprintable() and '"' not in path:
        return path
    return "".join(char if char.isprintable() and char != '"' else f"\\x{ord(char):02x}" for char in path)
