"""From a request to an answer: what to think, which tool to call, which JSON to write, what to say."""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from ollama_mcp.simulator.answers import Plan
from ollama_mcp.simulator.choices import choose_letter
from ollama_mcp.simulator.decoding import check_stop
from ollama_mcp.simulator.encoding import Object
from ollama_mcp.simulator.language import Sampling, speak, topic
from ollama_mcp.simulator.pictures import described
from ollama_mcp.simulator.schema_text import Instances
from ollama_mcp.simulator.store import Model
from ollama_mcp.simulator.tokens import Token, pieces
from ollama_mcp.simulator.tool_calls import choose_call

_LONGEST = 40_960


@dataclass
class Ask:
    """What a model is asked, with the options of request and model merged."""

    model: Model
    prompt: str
    whole: str
    options: Object
    images: list[bytes] = field(default_factory=list[bytes])
    tools: list[Any] = field(default_factory=list[Any])
    tool_result: str | None = None
    thinks: bool = False
    format: str | Object | None = None

    @property
    def sampling(self) -> Sampling:
        """The options that choose words."""
        given = {name: self.options[name] for name in Sampling.__slots__ if name in self.options}
        return replace(Sampling(), **given)


def answer(ask: Ask) -> Plan:
    """The simulator's own answer, cut as num_predict and stop say."""
    sampling = ask.sampling
    plan = Plan(thinking=_thoughts(ask) if ask.thinks else [])
    # A model that has the result of its call should speak, not call again.
    asked = ask.tools and ask.tool_result is None
    call = choose_call(ask.tools, ask.prompt, _chance(ask, sampling)) if asked else None
    if call is not None:
        plan.calls = [call]
    elif ask.format is not None:
        plan.content = _sure(json.dumps(_instance(ask, _chance(ask, sampling)), ensure_ascii=False))
    elif (letter := choose_letter(ask.prompt)) is not None:
        plan.content = [letter]
    else:
        # One more than wanted, so that the cut can tell an answer that was longer.
        limit = int(ask.options.get("num_predict", -1))
        plan.content = list(islice(_words(ask, sampling), limit + 1 if 0 < limit < _LONGEST else _LONGEST))
    plan.stop_at(check_stop(ask.options.get("stop")))
    return plan


def _chance(ask: Ask, sampling: Sampling) -> random.Random:
    if not sampling.repeatable:
        return random.Random()
    return random.Random(zlib.crc32(f"{sampling.seed}{ask.prompt}".encode("utf-8", "replace")))


def _thoughts(ask: Ask) -> list[Token]:
    about = topic(ask.prompt) or "the request"
    return _sure(f"The user asks about {about}. A simulator knows nothing, so a short synthetic answer is best.")


def _instance(ask: Ask, chance: random.Random) -> Any:
    if ask.format == "json" or not isinstance(ask.format, dict):
        return {"answer": f"simulated answer about {topic(ask.prompt) or 'nothing'}"}
    return Instances(ask.format, ask.prompt, chance).make(ask.format)


def _words(ask: Ask, sampling: Sampling) -> Any:
    if ask.tool_result is not None:
        yield from _sure(f"The tool said: {ask.tool_result[:500]} ")
    for image in ask.images:
        yield from _sure(f"This is {described(image)}. ")
    yield from speak(ask.prompt, sampling)


def _sure(text: str) -> list[Token]:
    return [Token(piece, -0.02, ((piece, -0.02),)) for piece in pieces(text)]
