"""Files that were read: as blocks of a prompt for the model, and as receipts for the agent.

A receipt says what was read and how much of it; it never quotes content, which the agent has not asked to see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from ollama_mcp.access.quoting import quoted, shortened

# More lines would cost the agent the tokens that the files are meant to save; the rest is summed up in one line.
_MAX_RECEIPTS = 30
_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text, or a range of its lines.

    Args:
        path: Real path, or address without its query.
        text: Already cut to the range, with "\\n" as its only line break.
        first_line: Counted from 1 in the file's text; for formats such as PDF, in the text extracted from it.
        last_line: The last line that exists; one before `first_line` in an empty file.
        bytes: Size of `text` in UTF-8.
        encoding: What a text file was decoded from, such as "cp1252"; "" for other formats.
        kind: "text", "pdf", "docx", "html" or "notebook".
        notes: What was left out and matters, such as pictures; part of the receipt.
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
class UnreadFile:
    """A file that was requested and not read.

    Args:
        spec: The path, glob or address of the call.
        reason: Short, with the error's kind in front as "[not_allowed] ..."; it quotes no content.
    """

    spec: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The outcome for all files of a call, in the order they were given.

    Args:
        documents: What was read.
        images: Paths and addresses of images among them, for `prepare_images`.
        unread: What was not read, and why.
        others: Files that are no text, by path: "image" or "other".
    """

    documents: list[Document] = field(default_factory=list[Document])
    images: list[str] = field(default_factory=list[str])
    unread: list[UnreadFile] = field(default_factory=list[UnreadFile])
    others: dict[str, str] = field(default_factory=dict[str, str])


def prompt_block(document: Document, *, numbered: bool = False) -> str:
    """Return a document as a block of a prompt, with its path and lines in the opening tag.

    A file cannot close its own block: the token in both tags is a hash that occurs nowhere in the text. It is
    deterministic, so that Ollama's prompt cache recognises a prompt that is sent again.

    Args:
        document: What to show.
        numbered: Whether each line begins with its number and a tab; it costs tokens, and helps a model to quote.
    """
    token = _block_token(document)
    lines = f"{document.first_line}-{document.last_line}" if document.text else "none, it is empty"
    text = _numbered(document) if numbered else document.text
    end = "" if not text or text.endswith("\n") else "\n"
    return f'<file-{token} path="{_escaped_path(document.path)}" lines="{lines}">\n{text}{end}</file-{token}>\n'


def receipts(result: ReadResult, tokens: Callable[[str], int]) -> list[str]:
    """Return a line for each file that was read and each that was not; beyond 30 of either, one line for the rest.

    Args:
        result: The files of a call.
        tokens: Estimates the tokens of a text.
    """
    counts = [tokens(document.text) for document in result.documents]
    pairs = list(zip(result.documents, counts, strict=True))
    lines = [_receipt(document, count) for document, count in pairs[:_MAX_RECEIPTS]]
    if rest := pairs[_MAX_RECEIPTS:]:
        size, count = sum(document.bytes for document, _ in rest), sum(count for _, count in rest)
        lines.append(f"read {len(rest):,} more files: {_size(size)}, about {count:,} tokens")
    lines += [_unread_receipt(unread) for unread in result.unread[:_MAX_RECEIPTS]]
    if len(result.unread) > _MAX_RECEIPTS:
        lines.append(f"not read: {len(result.unread) - _MAX_RECEIPTS:,} more")
    return lines


def _receipt(document: Document, tokens: int) -> str:
    path = shortened(_escaped_path(document.path))
    if not document.text:
        return "; ".join([f"read {path}: empty", *document.notes])
    kind = "" if document.kind == "text" else f" of the text in the {document.kind.upper()}"
    facts = [f"lines {document.first_line:,}-{document.last_line:,}{kind}", _size(document.bytes)]
    if document.encoding not in ("", "utf-8"):
        facts.append(document.encoding)
    return "; ".join([f"read {path}: {', '.join(facts)}, about {tokens:,} tokens", *document.notes])


def _unread_receipt(unread: UnreadFile) -> str:
    # Most messages name the file already; once is enough.
    shown = quoted(unread.spec)
    place = "" if shown in unread.reason else f"{shown}: "
    return f"not read: {place}{shortened(unread.reason, _REASON_CHARS)}"


def _size(count: int) -> str:
    return f"{count:,} bytes" if count < 1_000 else f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def _block_token(document: Document) -> str:
    salt = 0
    while True:
        # `replace`, since names of files on Linux may hold bytes that are not text (as lone surrogates).
        seed = f"{document.path}\n{document.first_line}\n{salt}\n{document.text}".encode(errors="replace")
        token = hashlib.blake2b(seed, digest_size=5).hexdigest()
        if token not in document.text:
            return token
        salt += 1


def _numbered(document: Document) -> str:
    lines = document.text.removesuffix("\n").split("\n") if document.text else []
    return "\n".join(f"{number}\t{line}" for number, line in enumerate(lines, start=document.first_line))


def _escaped_path(path: str) -> str:
    """A path on one line that cannot end the attribute it is in: file names are untrusted input."""
    if path.isprintable() and '"' not in path:
        return path
    return "".join(char if char.isprintable() and char != '"' else f"\\x{ord(char):02x}" for char in path)
