"""The drawn diagram: who sees what between an agent, this server, Ollama and the files; for light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

_FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"


@dataclass(frozen=True)
class Palette:
    """The colours of a page."""

    ink: str
    faint: str
    box: str
    ours: str
    ours_ink: str


LIGHT = Palette(ink="#1f2328", faint="#59636e", box="#f6f8fa", ours="#0b5cad", ours_ink="#ffffff")
DARK = Palette(ink="#e6edf3", faint="#9198a1", box="#161b22", ours="#2f81f7", ours_ink="#ffffff")


def diagram(colours: Palette) -> str:
    """The diagram as SVG, 860 by 330."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 330" role="img" '
        f'font-family="{_FONT}" font-size="14" text-anchor="middle">',
        "<title>The agent sends a path and a question to ollama-mcp-server, which reads the files and asks the "
        "models of your Ollama; the agent gets the answer, checked quotes and a receipt.</title>",
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{colours.faint}"/></marker></defs>',
        f'<rect x="308" y="14" width="540" height="302" rx="14" fill="none" stroke="{colours.faint}" '
        'stroke-dasharray="6 5"/>',
        _text(578, 38, "your machines", colours.faint, size=13),
        _box(12, 62, 178, 92, colours.box, colours.ink, "AI agent", "Claude Code, Cursor, ...", colours.faint),
        _box(330, 62, 190, 92, colours.ours, colours.ours_ink, "ollama-mcp-server", "", colours.ours_ink),
        _box(664, 62, 166, 92, colours.box, colours.ink, "Ollama", "your local models", colours.faint),
        _box(330, 232, 190, 66, colours.box, colours.ink, "your files", "read by path", colours.faint),
        _box(664, 232, 166, 66, colours.box, colours.ink, "results", "CSV, JSON, vectors", colours.faint),
        _arrow(192, 92, 326, 92, colours, "path, question", 250, 82),
        _arrow(328, 128, 194, 128, colours, "answer, quotes", 250, 148),
        _arrow(522, 92, 660, 92, colours, "text of the files", 591, 82),
        _arrow(662, 128, 524, 128, colours, "words, numbers", 591, 148),
        _arrow(425, 230, 425, 158, colours, "content", 458, 198),
        _arrow(500, 156, 664, 240, colours, "rows", 600, 190),
        _text(101, 190, "never sees the content", colours.faint, size=13),
        _text(101, 208, "of the files", colours.faint, size=13),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(x: int, y: int, width: int, height: int, fill: str, ink: str, title: str, below: str, faint: str) -> str:
    middle = x + width // 2
    first = y + height // 2 + (5 if not below else -4)
    edge = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="{fill}" stroke="{faint}"/>'
    words = _text(middle, first, title, ink, weight=600, size=16)
    return edge + words + (_text(middle, first + 22, below, faint, size=13) if below else "")


def _arrow(x1: int, y1: int, x2: int, y2: int, colours: Palette, words: str, x: int, y: int) -> str:
    line = f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{colours.faint}" stroke-width="1.5" marker-end="url(#tip)"/>'
    return line + _text(x, y, words, colours.ink, size=13)


def _text(x: int, y: int, words: str, fill: str, *, size: int = 14, weight: int = 400) -> str:
    return f'<text x="{x}" y="{y}" fill="{fill}" font-size="{size}" font-weight="{weight}">{escape(words)}</text>'
