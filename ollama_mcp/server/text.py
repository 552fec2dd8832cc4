"""Small pieces of text that results share: tables, sizes, dates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A compact table, cells parted by " | "; columns in which no row has anything are left out."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    used = [place for place in range(len(columns)) if any(row[place] for row in cells)]
    lines = [" | ".join(columns[place] for place in used)]
    lines += [" | ".join(row[place] for place in used) for row in cells]
    return "\n".join(lines)


def size(count: float | None) -> str:
    """Bytes for people, in powers of 1,000 as Ollama shows them: "2.0 GB"."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def day(moment: datetime | None) -> str:
    """The date of a moment, or nothing."""
    return moment.date().isoformat() if moment is not None else ""
