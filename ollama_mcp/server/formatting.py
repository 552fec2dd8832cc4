"""Formatting that the text of several results shares: tables, byte counts, dates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from ollama_mcp.formats.escaping import MAX_NOTE_LENGTH, escape


def format_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A compact text table with " | " between cells; columns that are empty in every row are omitted.

    A row is one line, and none that begins like an error of this server, whatever a host or a file put into its cells.
    """
    cells = [["" if cell is None else escape(str(cell), MAX_NOTE_LENGTH) for cell in row] for row in rows]
    used = [index for index in range(len(columns)) if any(row[index] for row in cells)]
    lines = [" | ".join(columns[index] for index in used)]
    for row in cells:
        line = " | ".join(row[index] for index in used)
        lines.append(f"- {line}" if line.startswith("[") else line)
    return "\n".join(lines)


def format_notes(notes: Iterable[str] | None) -> list[str]:
    """Notes as lines, one each."""
    return [escape(note, MAX_NOTE_LENGTH) for note in notes or ()]


def format_bytes(count: float | None) -> str:
    """A byte count in powers of 1,000, as `ollama list` shows it: "2.0 GB"; "" for None."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_date(moment: datetime | None) -> str:
    """The ISO date of a moment; "" for None."""
    return moment.date().isoformat() if moment is not None else ""
