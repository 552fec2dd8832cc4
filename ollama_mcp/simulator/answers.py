"""Answers of a model: scripted by a test, or planned by the simulator."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ollama_mcp.simulator.go_json import Object
from ollama_mcp.simulator.language import Token, tokenize


@dataclass(frozen=True)
class Answer:
    """The next answer of a model, as a test scripts it.

    Args:
        text: The answer: a string, which is split into words, or its pieces, one for each line of a stream.
        thinking: The thinking before it, in the same form.
        tool_calls: Calls such as `{"name": "get_weather", "arguments": {"city": "Paris"}}`.
        done_reason: "stop", "length", ...; "" omits the field.
        prompt_tokens: `prompt_eval_count`; None counts the prompt.
        tokens: `eval_count`; None counts the pieces.
        delay: Seconds before each piece.
        first_delay: Seconds before the first piece, as for a slow prompt.
        hold: Wait for this event before piece number `hold_after`; a string names an event that `release` sets.
        hold_after: Pieces that are sent before the hold.
        error: The runner fails with this text after the pieces.
        status: Status of that error if no piece was sent.
        no_done: The stream ends without its last line, like the repetition limit of servers before v0.34.1.
        lines: Exact lines instead of all of the above, without line breaks; also sent if stream is false.
        chances: For each piece of the text, the probabilities of the possible tokens, most likely first; they become
            the logprobs and top_logprobs of the answer.
    """

    text: str | Sequence[str] = ""
    thinking: str | Sequence[str] = ""
    tool_calls: Sequence[Object] = ()
    done_reason: str = "stop"
    prompt_tokens: int | None = None
    tokens: int | None = None
    delay: float = 0.0
    first_delay: float = 0.0
    hold: asyncio.Event | str | None = None
    hold_after: int = 0
    error: str = ""
    status: int = 500
    no_done: bool = False
    lines: Sequence[str] = ()
    chances: Sequence[Mapping[str, float]] = ()


@dataclass
class ResponsePlan:
    """An answer ready to be sent: tokens of thinking, tokens of text, and tool calls, in this order."""

    thinking: list[Token] = field(default_factory=list[Token])
    content: list[Token] = field(default_factory=list[Token])
    calls: list[Object] = field(default_factory=list[Object])
    done_reason: str = "stop"
    script: Answer | None = None

    @property
    def tokens(self) -> int:
        """The number of tokens; a tool call counts as eight."""
        return len(self.thinking) + len(self.content) + 8 * len(self.calls)

    def truncate(self, limit: int) -> None:
        """Truncate it to `limit` tokens, as num_predict does."""
        # An answer of exactly `limit` tokens is not truncated: its done_reason stays "stop".
        if limit < 0 or self.tokens <= limit:
            return
        self.done_reason = "length"
        self.content = self.content[: max(limit - len(self.thinking), 0)]
        self.thinking = self.thinking[:limit]
        self.calls = []

    def truncate_repetition(self, limit: int) -> bool:
        """Truncate it where more than `limit` tokens in a row are equal except for spaces; returns whether it did."""
        tokens, repeats, previous = [*self.thinking, *self.content], 0, ""
        for position, token in enumerate(tokens):
            # Ollama compares trimmed pieces, so that a flood of white space counts too.
            text = token.text.strip()
            repeats, previous = (repeats + 1 if position and text == previous else 1), text
            if repeats > limit:
                self.thinking = self.thinking[:position]
                self.content = self.content[: max(position - len(self.thinking), 0)]
                self.calls = []
                return True
        return False

    def truncate_at_stop(self, stops: Sequence[str]) -> None:
        """Truncate the text before the first stop string."""
        text = "".join(token.text for token in self.content)
        # A stop string may span tokens, so the joined text is searched.
        ends = [position for stop in stops if stop and (position := text.find(stop)) >= 0]
        if not ends:
            return
        remaining, kept = min(ends), list[Token]()
        for token in self.content:
            if remaining <= 0:
                break
            kept.append(replace(token, text=token.text[:remaining]))
            remaining -= len(token.text)
        self.content, self.calls, self.done_reason = kept, [], "stop"


def plan_from_script(script: Answer) -> ResponsePlan:
    """A scripted answer as a plan."""
    content = _tokens(script.text)
    for position, chances in enumerate(script.chances[: len(content)]):
        content[position] = _token(content[position].text, chances)
    return ResponsePlan(_tokens(script.thinking), content, list(script.tool_calls), script.done_reason, script)


def _tokens(text: str | Sequence[str]) -> list[Token]:
    return [_token(piece, {piece: 0.9}) for piece in (tokenize(text) if isinstance(text, str) else text)]


def _token(text: str, chances: Mapping[str, float]) -> Token:
    """A token with its alternatives; probability 0 becomes -1e9, because JSON has no infinity."""
    logprobs = {token: math.log(chance) if chance > 0 else -1e9 for token, chance in chances.items()}
    return Token(text, logprobs.get(text, -1e9), tuple(logprobs.items()))


class Scripts:
    """Queues of scripted answers, one for each model; "*" is any model."""

    def __init__(self) -> None:
        self._queues: dict[str, list[Answer]] = {}
        self._events: dict[str, asyncio.Event] = {}
        self._skills: dict[str, Callable[[str], Answer | None]] = {}

    def add(self, model: str, *answers: Answer) -> None:
        """Append answers to the queue of a model."""
        self._queues.setdefault(model, []).extend(answers)

    def learn(self, model: str, skill: Callable[[str], Answer | None]) -> None:
        """Let a function answer the prompts of a model for which no answer is scripted."""
        self._skills[model] = skill

    def take(self, model: str, prompt: str = "") -> Answer | None:
        """Remove and return the next answer for a model; None if there is none."""
        # The queue of the model takes precedence over the one for any model.
        for name in (model, "*"):
            if queue := self._queues.get(name):
                return queue.pop(0)
        skill = self._skills.get(model)
        return skill(prompt) if skill is not None else None

    def event(self, hold: asyncio.Event | str) -> asyncio.Event:
        """The event of a hold, created on first use if it is a name."""
        return self._events.setdefault(hold, asyncio.Event()) if isinstance(hold, str) else hold

    def release(self, name: str) -> None:
        """Set a named event, so that the answers that hold for it continue."""
        self.event(name).set()

    def clear(self) -> None:
        """Remove all answers, and release the ones that hold."""
        # A hold without an event would block its request, and the test, forever.
        for event in self._events.values():
            event.set()
        self._queues.clear()
        self._skills.clear()
        self._events.clear()
