"""The progress of a call as one line on the terminal, which each message replaces."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata

_CLEAR = "\r\x1b[K"
_BAR_COLUMNS = 20


class ProgressLine:
    """Shows progress on stderr where that is a terminal, so that stdout holds the answer alone.

    Attributes:
        visible: Whether there is a terminal that can replace a line.
    """

    def __init__(self) -> None:
        self.visible = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    async def show(self, done: float, total: float | None, text: str) -> None:
        """Replace the line; the text, on which no control character is left, is cut to the terminal's width."""
        width = shutil.get_terminal_size().columns - 1
        bar = _bar(done, total) if total and width > 3 * _BAR_COLUMNS else ""
        print(f"{_CLEAR}{bar}{_last_columns(text, width - len(bar))}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line, so that what is printed next begins at the left edge."""
        if self.visible:
            print(_CLEAR, end="", file=sys.stderr, flush=True)


def _bar(done: float, total: float) -> str:
    full = round(_BAR_COLUMNS * min(done / total, 1))
    return f"[{'#' * full}{'.' * (_BAR_COLUMNS - full)}] "


def _last_columns(text: str, width: int) -> str:
    """The end of a text, where the newest words stand, within so many columns."""
    used = 0
    for place in range(len(text) - 1, -1, -1):
        used += 2 if unicodedata.east_asian_width(text[place]) in "WF" else 1
        if used > width:
            return text[place + 1 :]
    return text
