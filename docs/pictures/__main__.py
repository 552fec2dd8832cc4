"""Writes the pictures: `python -m docs.pictures [NAME ...]`, all without a name."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from docs.pictures.diagram import DARK, LIGHT, diagram
from docs.pictures.inspector_shot import inspector_shot
from docs.pictures.shots import WIDTH, batch_shot, demo_cast, demo_shot, doctor_shot
from docs.pictures.terminal import as_svg

HERE = Path(__file__).parent
SHOTS = {"demo": demo_shot, "doctor": doctor_shot, "batch": batch_shot}
TITLES = {"demo": "ollama-mcp-server demo", "doctor": "ollama-mcp-server doctor", "batch": "a batch"}


def diagrams() -> dict[str, str]:
    """The drawn diagrams by their file."""
    return {"how-it-works-light.svg": diagram(LIGHT), "how-it-works-dark.svg": diagram(DARK)}


def main() -> None:
    """Write what is named, or all."""
    names = sys.argv[1:] or ["diagrams", *SHOTS, "cast", "inspector"]
    for name in names:
        if name == "diagrams":
            for file, svg in diagrams().items():
                _write(file, svg)
        elif name == "inspector":
            _inspector()
        elif name == "cast":
            _write("demo.cast", _cast(asyncio.run(demo_cast())))
        else:
            _write(f"{name}.svg", as_svg(name, TITLES[name], asyncio.run(SHOTS[name]()), width=WIDTH))


def _inspector() -> None:
    """The picture of the Inspector, and beside it the text that it shows of the tools."""
    try:
        _write("inspector.txt", asyncio.run(inspector_shot(HERE / "inspector.png")))
    except RuntimeError as error:
        raise SystemExit(f"inspector.png was not made: {error}") from error


def _cast(pieces: list[tuple[float, str]]) -> str:
    """The recording in version 2 of asciinema's format."""
    head = {"version": 2, "width": WIDTH, "height": 30, "title": "ollama-mcp-server demo"}
    lines = [json.dumps(head), *(json.dumps([round(at, 2), "o", text]) for at, text in pieces)]
    return "\n".join(lines) + "\n"


def _write(file: str, text: str) -> None:
    (HERE / file).write_text(text, encoding="utf-8")
    print(f"docs/pictures/{file}")  # noqa: T201


if __name__ == "__main__":
    main()
