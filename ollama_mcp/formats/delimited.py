"""Delimited text (CSV, TSV): which delimiter a file uses."""

from __future__ import annotations

_DELIMITERS = (",", ";", "\t", "|")


def delimiter_of(header: str) -> str:
    """The one of comma, semicolon, tab and bar that the first row has most of."""
    return max(_DELIMITERS, key=header.count)
