"""What the tests of reports share: a page's elements, text that attacks, and pages with all kinds of plots."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field

from ollama_mcp.work.report import Page, Section, charts
from ollama_mcp.work.report.evaluate import evaluation_page

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;</style></title>\x00\ud800\u202ejavascript:x"
LONG = "a-model-of-a-very-long-name/" + "without-any-blank" * 12


def elements(page: bytes) -> list[ElementTree.Element]:
    """All elements of a page, which is well-formed XML beside being HTML."""
    return list(ElementTree.fromstring(page.decode().removeprefix("<!doctype html>")).iter())


def words(page: bytes) -> str:
    """The text of a page, without its style sheet."""
    return " ".join("".join(one.itertext()) for one in elements(page) if one.tag in ("main", "title"))


def is_safe(page: bytes) -> bool:
    """Whether a page has nothing that runs, nothing that is fetched, and forbids both."""
    found = elements(page)
    tags = {one.tag for one in found}
    attributes = {name for one in found for name in one.attrib}
    policy = next(one for one in found if one.tag == "meta" and "http-equiv" in one.attrib).attrib["content"]
    runs = tags & {"script", "img", "iframe", "object", "embed", "link", "a", "form", "image", "use", "foreignObject"}
    loads = {
        name for name in attributes if name.startswith("on") or name in ("src", "href", "style", "srcset", "action")
    }
    return not runs and not loads and policy.startswith("default-src 'none'")


@dataclass(frozen=True)
class Evaluated:
    """A model as an evaluation gives it."""

    model: str
    accuracy: float
    low: float
    high: float
    seen: int = 200
    rows_per_second: float | None = 14.0
    load_seconds: float | None = 2.0
    memory_bytes: int | None = 2_400_000_000
    gpu_share: float | None = 0.8
    errors: Mapping[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])


def page_of_everything(text: str) -> Page:
    """A page with every part that there is, and a text at every place."""
    plots = [
        charts.bars({text: 3, "b": 5}, unit=" s"),
        charts.histogram([1, 0, 7], x=text, marks={text: 0.5}),
        charts.scatter([charts.Point(text, 3.0, 0.9, 0.8, 0.95)], x=text, y=text, goal=0.9),
        charts.curve([(1.0, 3.0), (2.0, 5.0)], x=text, y=text),
        charts.reliability([(0.9, 10, 9)], x=text),
        charts.confusion([text, "b"], {(text, "b"): 3, ("b", "b"): 4}),
    ]
    section = Section(
        text, [(text, plot) for plot in plots], text, (text, "n"), [(text, 3), (None, 2.5)], [(text, text)]
    )
    return Page(text, text, {text: text}, [section], [text], text)


def evaluation(name: str = "llama3.2:3b") -> Page:
    """The page of an evaluation."""
    models = [
        Evaluated("qwen3:0.6b", 0.8, 0.75, 0.85, rows_per_second=31.0),
        Evaluated(name, 0.96, 0.92, 0.98, errors={"timeout": (3, "late")}),
        Evaluated("none", 0.0, 0.0, 1.0, seen=0, rows_per_second=None, memory_bytes=None, gpu_share=None),
    ]
    confusion = [("billing", "billing", 40), ("billing", "praise", 3), ("praise", "praise", 55)]
    return evaluation_page(
        f"Smallest model that reaches 90 %: {name}.",
        models,
        goal=0.9,
        about=name,
        confusion=confusion,
        fields={"date": (139, 140), "name": (0, 0)},
        notes=["A note."],
    )
