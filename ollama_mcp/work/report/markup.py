"""Elements of HTML and SVG. What is not markup is text and is escaped, wherever it comes from."""

from __future__ import annotations

import html
import re

# Allowed in no document, as little as half of a surrogate pair.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_EMPTY = frozenset({"meta", "br", "rect", "line", "circle", "path"})


class Markup(str):
    """Text that is markup already; only `element` and `joined` make it."""

    __slots__ = ()


def element(tag: str, *children: str | None, **attributes: object) -> Markup:
    """An element.

    Args:
        tag: Its name.
        children: Texts, which are escaped, and markup; None is left out.
        attributes: Its attributes; `_` is written as `-`, one at the end is dropped (`class_`). None is left out.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_escaped(_number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _EMPTY and not children:
        return Markup(f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{joined(*children)}</{tag}>")


def joined(*parts: str | None) -> Markup:
    """Parts one after another; what is not markup is escaped."""
    return Markup("".join(part if isinstance(part, Markup) else _escaped(part) for part in parts if part is not None))


def _escaped(text: str) -> str:
    return html.escape(_FORBIDDEN.sub("\ufffd", text), quote=True)


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
