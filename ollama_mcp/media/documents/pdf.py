"""The text of a PDF, page by page."""

from __future__ import annotations

import io
from collections.abc import Iterator

from ollama_mcp.media.documents.words import Unusable, numbers


def pdf_text(data: bytes, notes: list[str]) -> Iterator[str]:
    """Yield the text of each page after a line `[page N of M]`.

    Raises:
        Unusable: It needs a password, or has no text at all.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    reader = PdfReader(io.BytesIO(data))
    try:
        # Many files are encrypted with an empty password, only to forbid printing.
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unusable("it is encrypted and needs a password", "Save a copy without a password and give that.")
    except DependencyError:
        raise Unusable("it is encrypted", "Save a copy without encryption and give that.") from None
    count = len(reader.pages)
    empty: list[int] = []
    broken: list[int] = []
    for number in range(1, count + 1):
        try:
            text = reader.pages[number - 1].extract_text().strip()
        except (MemoryError, RecursionError):
            raise
        except Exception:
            # One broken page of a book: the others are worth reading.
            broken.append(number)
            text = ""
        if not text and number not in broken[-1:]:
            empty.append(number)
        yield f"[page {number} of {count}]\n{text}\n\n" if text else f"[page {number} of {count}: no text]\n\n"
    if len(empty) + len(broken) == count:
        what = "it is damaged" if broken else "it has no text; it is pictures"
        raise Unusable(what, "Give its pages as images (`pdftoppm -png -r 150 FILE page`).")
    notes += [f"no text on page {numbers(empty)} (a picture?)"] if empty else []
    notes += [f"page {numbers(broken)} is damaged"] if broken else []
