"""What a model's answer is, before it goes over any wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


@dataclass
class Answer:
    """A model's answer.

    Args:
        text: The model's words, untouched.
        model: The model that answered.
        notes: What the agent should know, a line each; nothing where there is nothing to say.
        value: The validated JSON value where a `format` was given.
        tool_calls: Calls that the model wants made, `{"name", "arguments", "id"?}` each.
        thinking, logprobs, context, stats: Only where `include` asks for them.
        sources: What was read from files, or the quotes from them, as objects.
        usage: Token counts and times for `_meta`.
    """

    text: str
    model: str
    notes: list[str] = field(default_factory=list[str])
    value: Any = MISSING
    tool_calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    thinking: str | None = None
    logprobs: list[dict[str, Any]] | None = None
    context: list[int] | None = None
    stats: dict[str, Any] | None = None
    sources: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
