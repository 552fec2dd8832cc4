"""Durations: parsing of keep_alive as Ollama does it (seconds, or Go's notation such as "1h30m"), and display."""

from __future__ import annotations

import re

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.escaping import escape

FOREVER = -1.0
MAX_SECONDS = 9.2e9
_MAX_QUOTED = 80

_UNITS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|[\u00b5\u03bc]s|ms|s|m|h)")
_NEXT_STEP = (
    "Use seconds as a number (300), a duration with units ('10m', '1h30m'), 0 to unload at once, or -1 forever."
)


def parse_duration(text: str) -> float:
    """Seconds of a duration in Go's notation (https://pkg.go.dev/time#ParseDuration); negative as written.

    Raises:
        ValueError: The text is not a duration; the message is Go's.
    """
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    total, end = 0.0, 0
    for match in _PART.finditer(rest):
        if match.start() != end:
            break
        total += float(match[1]) * _UNITS[match[2]]
        end = match.end()
    if not rest or end != len(rest):
        bare = re.fullmatch(r"\d+\.?\d*|\.\d+", rest[end:]) is not None
        raise ValueError(f'{"missing unit in" if bare else "invalid"} duration "{text}"')
    return sign * total


def keep_alive_seconds(value: float | str) -> float:
    """The seconds of a keep_alive; FOREVER (-1) for any negative one.

    Raises:
        InvalidArgument: Neither a number nor a duration.
    """
    if isinstance(value, str):
        try:
            seconds = parse_duration(value.strip())
        except ValueError as error:
            reason = "its unit is missing" if str(error).startswith("missing unit") else "it cannot be parsed"
            raise InvalidArgument(
                f"keep_alive {escape(value, _MAX_QUOTED)!r} is not a duration: {reason}.", next_step=_NEXT_STEP
            ) from None
    else:
        seconds = float(value)
    # Ollama counts nanoseconds in 64 bits, and JSON has neither NaN nor infinity; NaN fails any comparison.
    if not abs(seconds) <= MAX_SECONDS:
        raise InvalidArgument(f"keep_alive {escape(str(value), _MAX_QUOTED)!r} is out of range.", next_step=_NEXT_STEP)
    return FOREVER if seconds < 0 else seconds


def format_seconds(seconds: float) -> str:
    """A duration for display: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
