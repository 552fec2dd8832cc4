"""The text of a PDF, page by page."""

from __future__ import annotations

import io
from collections.abc import Iterator

from ollama_mcp.media.documents import UnusableDocument
from ollama_mcp.media.file_types import pdf_start


def pdf_text(data: bytes, notes: list[str]) -> Iterator[str]:
    """Yield the text of each page after a line `[page N of M]`.

    Raises:
        UnusableDocument: It needs a password, or no page has text.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    # Offsets in a PDF count from its own beginning; pypdf rebuilds the table of those that count from the file's.
    reader = PdfReader(io.BytesIO(data[pdf_start(data) or 0 :]))
    try:
        # Many files are encrypted with an empty password, only to forbid printing.
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnusableDocument(
                "it is encrypted and needs a password", "Save a copy without a password and give that."
            )
    except DependencyError:
        raise UnusableDocument("it is encrypted", "Save a copy without encryption and give that.") from None
    count = len(reader.pages)
    empty: list[int] = []
    broken: list[int] = []
    for number in range(1, count + 1):
        try:
            text = reader.pages[number - 1].extract_text().strip()
        except (MemoryError, RecursionError):
            raise
        except Exception:
            # pypdf raises nearly anything on a broken page; the other pages are worth reading.
            broken.append(number)
            text = ""
        if not text and number not in broken[-1:]:
            empty.append(number)
        yield f"[page {number} of {count}]\n{text}\n\n" if text else f"[page {number} of {count}: no text]\n\n"
    if len(empty) + len(broken) == count:
        reason = "it is damaged" if broken else "it has no text, only pictures"
        raise UnusableDocument(reason, "Give its pages as images (`pdftoppm -png -r 150 FILE page`).")
    notes += [f"no text on page {page_ranges(empty)} (a picture?)"] if empty else []
    notes += [f"page {page_ranges(broken)} is damaged"] if broken else []


def page_ranges(pages: list[int]) -> str:
    """Return ascending page numbers as ranges, such as "1-3, 7"."""
    ranges: list[list[int]] = []
    for number in pages:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more places" if len(shown) > 10 else "")
