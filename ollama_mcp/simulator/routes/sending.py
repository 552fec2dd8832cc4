"""An answer on its way out: as lines, or as one object, with delays, holds and failures where a script wants them."""

from __future__ import annotations

import asyncio
import random
import string
import time

from ollama_mcp.simulator.answers import Answer, Plan
from ollama_mcp.simulator.capabilities import is_native
from ollama_mcp.simulator.encoding import Object
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.generations import Generation
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.routes.turn import Turn
from ollama_mcp.simulator.settings import context_length
from ollama_mcp.simulator.tokens import Token, count_tokens

# An endless stream of instant tokens must not keep the loop from others.
_BREATH = 16
_LETTERS = string.ascii_letters + string.digits


class Sending:
    """One answer on its way out."""

    def __init__(self, machine: Machine, reply: Reply, turn: Turn, plan: Plan, started: int, loaded: int) -> None:
        self.machine, self.reply, self.turn, self.plan = machine, reply, turn, plan
        self.script = plan.script or Answer()
        self.started, self.loaded = started, loaded
        self.sent = 0
        # What does not fit was dropped before the runner counted.
        context = context_length(turn.ask.model, turn.ask.options)
        counted = min(count_tokens(turn.ask.whole) + len(turn.carried) + 1, context)
        self.prompt_tokens = counted if self.script.prompt_tokens is None else self.script.prompt_tokens

    async def run(self) -> None:
        prompt_started = time.perf_counter_ns()
        await _pause(self.machine.latency.prompt * self.prompt_tokens + self.script.first_delay)
        self.evaluated = time.perf_counter_ns()
        self.prompt_nanoseconds = max(self.evaluated - prompt_started, 1)
        if self.script.lines:
            await self._exact()
        elif self.turn.stream:
            await self._streamed()
        else:
            await self._whole()

    async def _exact(self) -> None:
        for line in self.script.lines:
            await self._wait()
            await self.reply.raw_line(line.encode())

    async def _streamed(self) -> None:
        turn, plan = self.turn, self.plan
        if plan.thinking and turn.kind == "generate":
            # The parser of thoughts passes on the token that opens them as nothing.
            await self.reply.line(turn.line(turn.body("")))
        for token in plan.thinking:
            await self._wait()
            await self.reply.line(turn.line(turn.body("", token.text), **self._logprobs([token])))
        for token in self._buffered(plan.content):
            await self._wait()
            await self.reply.line(turn.line(turn.body(token.text), **self._logprobs([token])))
        await self._hold()
        if self.script.error:
            raise Failure(self.script.status, self.script.error)
        calls = self._calls()
        if calls and not self._calls_at_end:
            await self.reply.line(turn.line(turn.body("", "", calls)))
            calls = []
        if not self.script.no_done:
            await self.reply.line(self._last(turn.body("", "", calls)))

    def _buffered(self, tokens: list[Token]) -> list[Token]:
        # Before v0.8.0 a request with tools got its whole answer in one line.
        if self.turn.ask.tools and tokens and not self.machine.generation.since(0, 8, 0):
            return [Token(_text(tokens))]
        return tokens

    async def _whole(self) -> None:
        turn, plan = self.turn, self.plan
        tokens = [*plan.thinking, *plan.content]
        # Without any delay there is nothing to wait for, and thousands of answers a second to give.
        if self.machine.latency.token or self.script.delay or self.script.hold is not None:
            for _ in tokens:
                await self._wait()
        await self._hold()
        if self.script.error:
            raise Failure(self.script.status, self.script.error)
        content, thinking = _text(plan.content), _text(plan.thinking)
        body = turn.body(content, thinking, self._calls())
        if self.script.no_done:
            self.reply.json(turn.line(body))
        else:
            self.reply.json({**self._last(body), **self._logprobs(tokens)})

    async def _wait(self) -> None:
        await self._hold()
        await _pause(self.machine.latency.token + self.script.delay)
        self.sent += 1
        if self.sent % _BREATH == 0:
            await asyncio.sleep(0)

    async def _hold(self) -> None:
        if self.script.hold is not None and self.sent == self.script.hold_after:
            await self.machine.scripts.event(self.script.hold).wait()

    def _last(self, body: Object) -> Object:
        now = time.perf_counter_ns()
        fields: Object = {"done": True}
        if self.plan.done_reason:
            fields["done_reason"] = self.plan.done_reason
        if self.turn.context:
            fields["context"] = [*self.turn.carried, *token_ids(self.turn.ask.whole), *self._answer_ids()]
        fields["total_duration"] = now - self.started
        fields["load_duration"] = self.loaded
        count = self.plan.tokens if self.script.tokens is None else self.script.tokens
        if self.prompt_tokens:
            fields["prompt_eval_count"] = self.prompt_tokens
        if self.machine.generation.counts_cached_prompt:
            fields["prompt_eval_cached_count"] = 0
        fields["prompt_eval_duration"] = self.prompt_nanoseconds
        # Go leaves zero counters out.
        if count:
            fields |= {"eval_count": count, "eval_duration": max(now - self.evaluated, 1)}
        return self.turn.line(body, **fields)

    def _answer_ids(self) -> list[int]:
        return token_ids(_text(self.plan.content))

    @property
    def _calls_at_end(self) -> bool:
        return is_native(self.turn.ask.model, self.machine.generation)

    def _calls(self) -> list[Object]:
        generation, native = self.machine.generation, self._calls_at_end
        return [_call(call, index, generation, native=native) for index, call in enumerate(self.plan.calls)]

    def _logprobs(self, tokens: list[Token]) -> Object:
        if not self.turn.logprobs or not self.machine.generation.has_logprobs or not tokens:
            return {}
        return {"logprobs": [_logprob(token, self.turn.top_logprobs) for token in tokens]}


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _text(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


def token_ids(text: str) -> list[int]:
    """Numbers that stand for a text in `context`, one for each token."""
    data = text.encode("utf-8", "replace")
    return [1000 + int.from_bytes(data[start : start + 4], "little") % 30_000 for start in range(0, len(data), 4)]


def _logprob(token: Token, top: int) -> Object:
    shown = _chance(token.text, token.logprob)
    if top:
        shown["top_logprobs"] = [_chance(text, value) for text, value in token.alternatives[:top]]
    return shown


def _chance(text: str, logprob: float) -> Object:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _call(call: Object, index: int, generation: Generation, *, native: bool) -> Object:
    function: Object = {"name": call["name"], "arguments": call.get("arguments", {})}
    if generation.since(0, 12, 6) or index:
        function = {"index": index, **function}
    if not generation.since(0, 12, 10):
        return {"function": function}
    given = call.get("id")
    made = _random(32) if native else f"call_{_random(8).lower()}"
    return {"id": given or made, "function": function}


def _random(length: int) -> str:
    return "".join(random.choices(_LETTERS, k=length))
