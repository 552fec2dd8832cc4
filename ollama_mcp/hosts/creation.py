"""Which models a creation is made from, as the host will read its request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def bases_of(body: Mapping[str, Any]) -> set[str]:
    """The models that a body of POST /api/create names as bases; uploaded files are no names.

    Raises:
        InvalidArgument: Its Modelfile, which servers before v0.5.5 read themselves, cannot be parsed.
    """
    named = {str(body.get("from") or "")}
    if modelfile := str(body.get("modelfile") or ""):
        from ollama_mcp.formats.modelfile import parse_modelfile

        named |= {each.value.strip() for each in parse_modelfile(modelfile).all("from")}
    return {name for name in named if name and not name.startswith(("@", "/", "."))}
