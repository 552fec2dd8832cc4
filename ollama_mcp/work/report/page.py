"""The page of a report: a verdict, figures, notes, and sections with plots, tables and texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path

from ollama_mcp import __version__
from ollama_mcp.work.report.markup import Markup, element, joined

# No script runs and nothing is fetched, whatever found its way into the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Args:
        title: Its heading.
        charts: Plots, each with a caption.
        text: What should be known about it.
        columns: The heads of a table, where there is one.
        rows: The table's rows; numbers stand on the right.
        texts: Longer texts that are opened by a click: heading and text, such as a prompt and its answers.
    """

    title: str
    charts: Sequence[tuple[str, Markup]] = ()
    text: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    texts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report.

    Args:
        title: What it is about.
        lead: The verdict, in one or two sentences.
        figures: Numbers that stand out, by their names.
        sections: The parts, in order.
        notes: What should be known, last.
        made: When and by what, in words.
    """

    title: str
    lead: str = ""
    figures: Mapping[str, str] = field(default_factory=dict[str, str])
    sections: Sequence[Section] = ()
    notes: Sequence[str] = ()
    made: str = ""

    def render(self) -> bytes:
        """The page as HTML in UTF-8."""
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", self.title),
            element("style", Markup(_style())),
        )
        figures = [
            element("div", element("dt", name), element("dd", value)) for name, value in self.figures.items() if value
        ]
        body = element(
            "body",
            element(
                "main",
                element(
                    "header", element("h1", self.title), element("p", self.lead, class_="lead") if self.lead else None
                ),
                element("dl", *figures, class_="figures") if figures else None,
                *map(_section, self.sections),
                _notes(self.notes),
                element("footer", self.made) if self.made else None,
            ),
        )
        return joined(Markup("<!doctype html>\n"), element("html", head, body, lang="en"), "\n").encode()


def made_now() -> str:
    """By what a page is made, and when."""
    return f"Made by ollama-mcp-server {__version__}, {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}."


@cache
def _style() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def _section(section: Section) -> Markup:
    charts = [element("figure", element("figcaption", caption), chart) for caption, chart in section.charts]
    return element(
        "section",
        element("h2", section.title),
        element("p", section.text) if section.text else None,
        element("div", *charts, class_="charts") if charts else None,
        _table(section.columns, section.rows) if section.columns else None,
        *(element("details", element("summary", head), element("pre", text)) for head, text in section.texts),
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    lines = [element("tr", *map(_cell, row)) for row in rows]
    # Scrolls by itself where it is wider than the page; reached by the keyboard too.
    return element(
        "div", element("table", element("thead", head), element("tbody", *lines)), class_="wide", tabindex="0"
    )


def _cell(value: object) -> Markup:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        said = f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.3g}"
        return element("td", said, class_="number")
    return element("td", "" if value is None else str(value))


def _notes(notes: Sequence[str]) -> Markup | None:
    if not notes:
        return None
    return element("section", element("h2", "Notes"), element("ul", *(element("li", note) for note in notes)))
