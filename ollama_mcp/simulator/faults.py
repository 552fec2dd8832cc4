"""Faults on order: a rule says which requests it strikes and what happens to them on the wire.

kinds
    instead of an answer   refuse, hang, status, forbidden, not_found, bad_gateway, unavailable, rate_limited,
                           unauthorized, nested_error, redirect
    before an answer       delay
    to its head            content_type, gzip
    to its lines           slow_lines, stall, reset, cut, no_done, error_line, invalid_line, cut_utf8, huge_line, crlf,
                           blank_lines, joined, split, runner_death
"""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from ollama_mcp.simulator.encoding import Object

Kind = Literal[
    "refuse",
    "hang",
    "status",
    "forbidden",
    "not_found",
    "bad_gateway",
    "unavailable",
    "rate_limited",
    "unauthorized",
    "nested_error",
    "redirect",
    "delay",
    "content_type",
    "gzip",
    "slow_lines",
    "stall",
    "reset",
    "cut",
    "no_done",
    "error_line",
    "invalid_line",
    "cut_utf8",
    "huge_line",
    "crlf",
    "blank_lines",
    "joined",
    "split",
    "runner_death",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass
class Fault:
    """One rule.

    Args:
        kind: What happens; the module's docstring lists the kinds.
        path: Only requests to this path, such as "/api/chat"; a trailing "*" matches what begins so.
        model: Only requests that name this model.
        nth: Only the n-th request that fits the above, counted from 1; 0 strikes each of them.
        times: Strikes at most so often; 0 is without bound.
        after: Lines of the stream that go out untouched; -1 is all but the last.
        seconds: Of delay, slow_lines and stall; 0 is for ever for hang and stall.
        status: Of status.
        text: Body of status (JSON error), text of error_line, type of content_type, target of redirect.
        retry_after: Seconds in a Retry-After header; 0 leaves it out.
        size: Bytes of huge_line.
    """

    kind: Kind
    path: str = ""
    model: str = ""
    nth: int = 0
    times: int = 0
    after: int = 0
    seconds: float = 0.0
    status: int = 500
    text: str = ""
    retry_after: int = 0
    size: int = 1 << 20
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of fault; known: {', '.join(KINDS)}.")

    def strikes(self, path: str, model: str) -> bool:
        """Whether this rule strikes a request; counts it."""
        fits = path.startswith(self.path[:-1]) if self.path.endswith("*") else self.path in ("", path)
        if not fits or (self.model and self.model.lower() not in (model.lower(), f"{model}:latest".lower())):
            return False
        # Counted before nth is looked at: nth counts the requests that fit, struck or not.
        self.seen += 1
        if (self.nth and self.seen != self.nth) or (self.times and self.struck >= self.times):
            return False
        self.struck += 1
        return True


class Faults:
    """The rules in force, in the order in which they were added."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []

    def add(self, *rules: Fault) -> None:
        """Put rules in force."""
        self.rules += rules

    def clear(self) -> None:
        """Lift all rules."""
        self.rules.clear()

    def strike(self, path: str, model: str) -> list[Fault]:
        """The rules that strike a request."""
        return [rule for rule in self.rules if rule.strikes(path, model)]


def fault_of(given: Object) -> Fault:
    """A rule from JSON.

    Raises:
        ValueError: An unknown kind or field.
    """
    # The counters are results, not settings.
    known = {entry.name for entry in fields(Fault)} - {"seen", "struck"}
    if unknown := sorted(set(given) - known):
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}."
        raise ValueError(f"A fault has no field {unknown[0]!r}; {hint}")
    if "kind" not in given:
        raise ValueError("A fault needs a kind.")
    return Fault(**given)


def described(rule: Fault) -> dict[str, Any]:
    """A rule as JSON, with how often it was met and struck."""
    return asdict(rule)
