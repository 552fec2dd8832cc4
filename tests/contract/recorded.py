"""The recordings: exchanges with real Ollama servers, in the order in which they were made.

The files of the three older series do not contain their order. It was derived from the time stamps in their bodies and
from the dependencies between the exchanges; `order.txt` contains it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent.parent / "recordings"
_ORDER = (Path(__file__).parent / "order.txt").read_text(encoding="utf-8").split()
SERIES = ("v0.5.7", "v0.17.7", "v0.33", "v0.33-scripted")


@dataclass(frozen=True)
class Exchange:
    """A request and the response of the real server."""

    name: str
    request: dict[str, Any]
    response: dict[str, Any]
    disconnected_after: int

    @property
    def body(self) -> str:
        """The body of the response, "" for a stream."""
        return self.response.get("body") or ""

    @property
    def lines(self) -> list[Any] | None:
        """The parsed lines of a stream; None for any other response."""
        lines = self.response.get("lines")
        return None if lines is None else [json.loads(entry["line"]) for entry in lines]


def load(series: str) -> list[Exchange]:
    """All exchanges of a series in order."""
    files = sorted((_FOLDER / series).glob("*.json"))
    if not files[0].stem[:3].isdigit():
        position = {name: index for index, name in enumerate(_order(series))}
        files.sort(key=lambda file: position[file.stem])
    return [_read(file) for file in files]


def _order(series: str) -> list[str]:
    if series != "v0.33":
        return _ORDER
    # The pulls of this series were recorded again, two minutes after the others.
    pulls = [name for name in _ORDER if name.startswith("pull_")]
    return [name for name in _ORDER if name not in pulls] + pulls


def _read(file: Path) -> Exchange:
    data = json.loads(file.read_text(encoding="utf-8"))
    return Exchange(file.stem, data["request"], data["response"], data.get("client_disconnected_after_lines", 0))
