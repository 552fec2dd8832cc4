"""What a model answers: as a test scripted it, or as the simulator makes it up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ollama_mcp.simulator.encoding import Object
from ollama_mcp.simulator.tokens import Token, pieces


@dataclass(frozen=True)
class Answer:
    """The next answer of a model, as a test wants it.

    Args:
        text: The answer: a text, cut into words by itself, or its pieces, one for each line of a stream.
        thinking: The thinking before it, likewise.
        tool_calls: Calls such as `{"name": "get_weather", "arguments": {"city": "Paris"}}`.
        done_reason: "stop", "length", ...; "" leaves the field out.
        prompt_tokens: `prompt_eval_count`; None counts the prompt.
        tokens: `eval_count`; None counts the pieces.
        delay: Seconds before each piece.
        first_delay: Seconds before the first piece, as a slow prompt takes.
        hold: Wait for this event before piece number `hold_after`; a string names one that `release` sets.
        hold_after: Pieces that go out before the hold.
        error: After the pieces the runner fails with this text.
        status: Status of that error where no piece was sent.
        no_done: The stream ends without its last line, as the repeat guard of servers before v0.34.1 has it.
        lines: Exact lines instead of everything above, without line breaks; sent with stream false too.
        chances: For each piece of the text, the probabilities of the tokens that could stand there, likeliest first;
            the logprobs and top_logprobs of the answer are theirs.
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
class Plan:
    """An answer ready to be sent: tokens of thinking, then tokens of text, then tool calls."""

    thinking: list[Token] = field(default_factory=list[Token])
    content: list[Token] = field(default_factory=list[Token])
    calls: list[Object] = field(default_factory=list[Object])
    done_reason: str = "stop"
    script: Answer | None = None

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return len(self.thinking) + len(self.content) + 8 * len(self.calls)

    def cut(self, limit: int) -> None:
        """End it after `limit` tokens, as num_predict does."""
        # An answer of exactly the limit ended by itself.
        if limit < 0 or self.tokens <= limit:
            return
        self.done_reason = "length"
        self.content = self.content[: max(limit - len(self.thinking), 0)]
        self.thinking = self.thinking[:limit]
        self.calls = []

    def guard(self, most: int) -> bool:
        """End it where more than `most` tokens in a row are the same but for spaces; whether that was so."""
        tokens, same, before = [*self.thinking, *self.content], 0, ""
        for place, token in enumerate(tokens):
            text = token.text.strip()
            same, before = (same + 1 if place and text == before else 1), text
            if same > most:
                self.thinking = self.thinking[:place]
                self.content = self.content[: max(place - len(self.thinking), 0)]
                self.calls = []
                return True
        return False

    def stop_at(self, stops: Sequence[str]) -> None:
        """End the text before the first of the stop texts."""
        text = "".join(token.text for token in self.content)
        # A stop text may begin inside one token and end in the next, so the whole text is searched.
        ends = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
        if not ends:
            return
        left, kept = min(ends), list[Token]()
        for token in self.content:
            if left <= 0:
                break
            kept.append(
                token if len(token.text) <= left else Token(token.text[:left], token.logprob, token.alternatives)
            )
            left -= len(token.text)
        self.content, self.calls, self.done_reason = kept, [], "stop"


def plan_of(script: Answer) -> Plan:
    """A scripted answer as a plan."""
    content = _tokens(script.text)
    for place, chances in enumerate(script.chances[: len(content)]):
        content[place] = _token(content[place].text, chances)
    return Plan(_tokens(script.thinking), content, list(script.tool_calls), script.done_reason, script)


def _tokens(text: str | Sequence[str]) -> list[Token]:
    return [_token(piece, {piece: 0.9}) for piece in (pieces(text) if isinstance(text, str) else text)]


def _token(text: str, chances: Mapping[str, float]) -> Token:
    """A token, with all that could stand in its place; what is impossible has the logarithm that Go's JSON can hold."""
    logprobs = {token: math.log(chance) if chance > 0 else -1e9 for token, chance in chances.items()}
    return Token(text, logprobs.get(text, -1e9), tuple(logprobs.items()))


class Scripts:
    """Queues of scripted answers, one for each model; "*" is for any model."""

    def __init__(self) -> None:
        self._queues: dict[str, list[Answer]] = {}
        self._events: dict[str, asyncio.Event] = {}

    def add(self, model: str, *answers: Answer) -> None:
        """Answers to come, in order."""
        self._queues.setdefault(model, []).extend(answers)

    def take(self, model: str) -> Answer | None:
        """The next answer of a model, if one is scripted."""
        # What was said for this very model goes before what was said for any.
        for name in (model, "*"):
            if queue := self._queues.get(name):
                return queue.pop(0)
        return None

    def event(self, hold: asyncio.Event | str) -> asyncio.Event:
        """The event of a hold."""
        return self._events.setdefault(hold, asyncio.Event()) if isinstance(hold, str) else hold

    def release(self, name: str) -> None:
        """Set a named event: what holds for it goes on."""
        self.event(name).set()

    def clear(self) -> None:
        """Forget all answers and events; what holds goes on."""
        # An answer that still holds would keep its request, and the test, for ever.
        for event in self._events.values():
            event.set()
        self._queues.clear()
        self._events.clear()
