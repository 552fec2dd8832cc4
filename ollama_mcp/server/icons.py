"""The server's icon, as data: a ring with a gap and a dot in it. Drawn for this project.

Servers of protocol 2026-07-28 introduce themselves with every answer, so both forms together stay under 800 bytes.
"""

from __future__ import annotations

from mcp.types import Icon

SVG = (
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 48 48'%3E%3Crect width='48' height='48' rx='11' "
    "fill='%23133b3a'/%3E%3Cpath d='M36 24a12 12 0 1 1-6-10.4' fill='none' stroke='%23fff' stroke-width='4' "
    "stroke-linecap='round'/%3E%3Ccircle cx='24' cy='24' r='5' fill='%232ec4a6'/%3E%3C/svg%3E"
)
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAADAAAAAwAgMAAAAqbBEUAAAADFBMVEUTOzr///8uxKaJnZxdRvEdAAAAxUlEQVR42s3QIU4DQRjF8d/OlmxDSl"
    "KBQI7A4CrA7xFqmlqOwBF6D0wFB0BXrUCQVNevw+BKyFa0QewMLCeAz/3z3vfmfcP/mN2ygQLuouoJASIHCYrsDhh53IARptXUW1bqS14SlOY/"
    "O6dQDwKOztc5YDK2/lY6w3c+AquLh1QHunYA2fYLJidWCcZgFnulc/+p7Z3FEnZ9p3LRYNEQOHqmUPc7zTu3IUXHQ1PGM5TYX29vXL32yh7muU"
    "5Lla9Vpu/9+/kC/fgmKnOueiwAAAAASUVORK5CYII="
)


def server_icons() -> list[Icon]:
    """The icon as PNG, which every host that shows icons must support, and as SVG, which is optional for hosts."""
    return [
        Icon(src=f"data:image/png;base64,{PNG}", mime_type="image/png", sizes=["48x48"]),
        # A space is none of a URI's characters, and some hosts check that.
        Icon(src=f"data:image/svg+xml,{SVG.replace(' ', '%20')}", mime_type="image/svg+xml", sizes=["any"]),
    ]
