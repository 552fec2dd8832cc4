"""Terminals as pictures: what a console showed as SVG, and the words of such a picture for comparing."""

from __future__ import annotations

import html
import io
import re
from itertools import groupby

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

# Rich's own form loads a font from elsewhere.
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, Arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
_PIECE = re.compile(r'<text class="(?!\w+-title)[^"]*" x="[\d.]+" y="([\d.]+)"[^>]*>(.*?)</text>')
# Versions, sizes, times, speeds and systems differ between runs and machines.
_VARIES = (
    (re.compile(r"\b[\d.e+]+/s"), "#/s"),
    (re.compile(r"\d+(?:\.\d+)+[\w.-]*"), "#"),
    (re.compile(r"\b\d+(?= (?:GB|s|tokens/s)\b)"), "#"),
    (re.compile(r"\b(?:Linux|Darwin|Windows)\b"), "SYSTEM"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DATE"),
)
_FRAMES = re.compile(r"[\s\u2500-\u257f]+")


def as_svg(name: str, title: str, ansi: str, *, width: int) -> str:
    """The picture of a terminal.

    Args:
        name: What its style classes begin with.
        title: What its bar says.
        ansi: What it shows, with colours as escape codes.
        width: Its characters in a line.
    """
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in ansi.splitlines():
        console.print(Text.from_ansi(line), soft_wrap=False)
    text = console.export_svg(title=title, theme=SVG_EXPORT_THEME, code_format=_SVG, unique_id=name)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"


def words_of_svg(svg: str) -> str:
    """The words that such a picture shows, for comparing."""
    pieces = [(match[1], html.unescape(match[2])) for match in _PIECE.finditer(svg)]
    lines = ("".join(words for _, words in line) for _, line in groupby(pieces, key=lambda piece: piece[0]))
    return comparable("\n".join(lines))


def comparable(ansi: str) -> str:
    """The words of a terminal without colours, frames, spaces, and what differs from run to run."""
    words = _FRAMES.sub(" ", Text.from_ansi(ansi).plain.replace("\xa0", " "))
    for pattern, instead in _VARIES:
        words = pattern.sub(instead, words)
    # A long word may be broken at the end of a line.
    return "".join(words.split())
