"""What generate and chat share: load the model, plan its answer, and send it as a stream or as one object."""

from __future__ import annotations

import asyncio
import random
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ollama_mcp.simulator import responder
from ollama_mcp.simulator.answers import Answer, ResponsePlan, plan_from_script
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.go_json import Object, timestamp
from ollama_mcp.simulator.language import Token, count_tokens
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.request_fields import context_length, load_options
from ollama_mcp.simulator.responder import ModelInput
from ollama_mcp.simulator.response import ResponseWriter
from ollama_mcp.simulator.server_versions import Generation
from ollama_mcp.simulator.store import uses_native_template

_REPETITION_ERROR = "prediction aborted, token repeat limit reached"
_REPETITION_LIMIT_BEFORE_0_34_1, _REPETITION_LIMIT = 30, 100
# A stream of tokens without delay yields to the event loop after this many.
_TOKENS_PER_YIELD = 16
_ID_CHARACTERS = string.ascii_letters + string.digits


@dataclass
class CompletionRequest:
    """A validated request to generate or chat: the input of the model, and the form of the response."""

    kind: Literal["generate", "chat"]
    model_name: str
    model_input: ModelInput
    stream: bool
    keep_alive: float | None
    logprobs: bool
    top_logprobs: int
    shift: bool = True
    context: bool = False
    prior_context: Sequence[int] = ()

    def text_fields(self, content: str, thinking: str = "", calls: Sequence[Object] = ()) -> Object:
        """The fields that hold the text: `response` for generate, `message` for chat."""
        if self.kind == "generate":
            fields: Object = {"response": content}
            if thinking:
                fields["thinking"] = thinking
            return fields
        message: Object = {"role": "assistant", "content": content}
        if thinking:
            message["thinking"] = thinking
        if calls:
            message["tool_calls"] = list(calls)
        return {"message": message}

    def line(self, text_fields: Object, **fields: Any) -> Object:
        """A line of a stream, or the complete response."""
        return {"model": self.model_name, "created_at": timestamp(), **text_fields, "done": False, **fields}


async def complete(machine: Machine, response: ResponseWriter, request: CompletionRequest) -> None:
    """Load the model, plan its answer, and send it.

    Raises:
        ErrorResponse: The queue is full, or a script makes the runner fail.
    """
    model_input = request.model_input
    started = time.perf_counter_ns()
    context = context_length(model_input.model, model_input.options)
    # Since llama-server, another `shift` reloads the model.
    shift = request.shift if machine.generation.has_native_templates else True
    options = load_options(model_input.options, context, shift)
    async with machine.scheduler.use(model_input.model, options, context, request.keep_alive) as (_, load_nanoseconds):
        script = machine.scripts.take(model_input.model.name.short, model_input.prompt)
        if script is not None:
            plan = plan_from_script(script)
        else:
            model_input.accuracy = machine.accuracies.get(model_input.model.name.key)
            plan = responder.respond(model_input)
            plan.truncate(_token_limit(request, context))
        _limit_repetition(machine, request, plan)
        await AnswerWriter(machine, response, request, plan, started, load_nanoseconds).run()


def _token_limit(request: CompletionRequest, context: int) -> int:
    # Ollama bounds every answer, also an unlimited one, by 10 times the context.
    requested = int(request.model_input.options.get("num_predict", -1))
    if requested == 0:
        return 1 if request.kind == "chat" else 10 * context
    return 10 * context if requested < 0 else min(requested, 10 * context)


def _limit_repetition(machine: Machine, request: CompletionRequest, plan: ResponsePlan) -> None:
    """End the plan where Ollama stops a model that repeats itself; chats with a native template have no limit."""
    if request.kind == "chat" and uses_native_template(request.model_input.model, machine.generation):
        return
    is_error = machine.generation.repeat_guard_is_error
    # Scripts are limited too, so that a test can make a model repeat itself.
    if plan.truncate_repetition(_REPETITION_LIMIT if is_error else _REPETITION_LIMIT_BEFORE_0_34_1):
        script = plan.script or Answer()
        plan.script = replace(script, error=_REPETITION_ERROR) if is_error else replace(script, no_done=True)


class AnswerWriter:
    """Sends one planned answer, with the delays, holds and failures of its script.

    Args:
        machine: The simulated server.
        response: Where the answer is sent.
        request: The request.
        plan: The answer.
        started: Start of the request, of `time.perf_counter_ns`.
        load_nanoseconds: Time that loading the model took.
    """

    def __init__(
        self,
        machine: Machine,
        response: ResponseWriter,
        request: CompletionRequest,
        plan: ResponsePlan,
        started: int,
        load_nanoseconds: int,
    ) -> None:
        self._machine, self._response, self._request, self._plan = machine, response, request, plan
        self._script = plan.script or Answer()
        self._started, self._load_nanoseconds = started, load_nanoseconds
        self._sent = 0
        self._prompt_nanoseconds = self._prompt_done = 0
        # Tokens beyond the context are dropped before they are counted.
        context = context_length(request.model_input.model, request.model_input.options)
        count = min(count_tokens(request.model_input.full_prompt) + len(request.prior_context) + 1, context)
        self._prompt_tokens = count if self._script.prompt_tokens is None else self._script.prompt_tokens
        self._native = uses_native_template(request.model_input.model, machine.generation)

    async def run(self) -> None:
        """Send the answer.

        Raises:
            ErrorResponse: The script makes the runner fail.
        """
        prompt_started = time.perf_counter_ns()
        await _sleep(self._machine.latency.prompt * self._prompt_tokens + self._script.first_delay)
        self._prompt_done = time.perf_counter_ns()
        self._prompt_nanoseconds = max(self._prompt_done - prompt_started, 1)
        if self._script.lines:
            await self._send_script_lines()
        elif self._request.stream:
            await self._send_stream()
        else:
            await self._send_object()

    async def _send_script_lines(self) -> None:
        for line in self._script.lines:
            await self._wait_for_token()
            await self._response.raw_line(line.encode())

    async def _send_stream(self) -> None:
        request, plan = self._request, self._plan
        if plan.thinking and request.kind == "generate":
            # The parser of thinking consumes the opening tag and sends an empty line in its place.
            await self._response.line(request.line(request.text_fields("")))
        for token in plan.thinking:
            await self._wait_for_token()
            await self._response.line(request.line(request.text_fields("", token.text), **self._logprobs([token])))
        for token in self._streamed_tokens(plan.content):
            await self._wait_for_token()
            await self._response.line(request.line(request.text_fields(token.text), **self._logprobs([token])))
        await self._end_of_tokens()
        calls = self._tool_calls()
        # With a native template the calls are in the last line.
        if calls and not self._native:
            await self._response.line(request.line(request.text_fields("", "", calls)))
            calls = []
        if not self._script.no_done:
            await self._response.line(self._last_line(request.text_fields("", "", calls)))

    def _streamed_tokens(self, tokens: list[Token]) -> list[Token]:
        # Before v0.8.0 the answer to a request with tools was sent in one line.
        if self._request.model_input.tools and tokens and not self._machine.generation.since(0, 8, 0):
            return [Token(_text(tokens))]
        return tokens

    async def _send_object(self) -> None:
        request, plan = self._request, self._plan
        tokens = [*plan.thinking, *plan.content]
        # Skipped without delays, for the throughput of a simulator without latency.
        if self._machine.latency.token or self._script.delay or self._script.hold is not None:
            for _ in tokens:
                await self._wait_for_token()
        await self._end_of_tokens()
        fields = request.text_fields(_text(plan.content), _text(plan.thinking), self._tool_calls())
        # Without streaming, the repetition limit gives "done": false and no counters.
        if self._script.no_done:
            self._response.json(request.line(fields))
        else:
            self._response.json({**self._last_line(fields), **self._logprobs(tokens)})

    async def _wait_for_token(self) -> None:
        await self._hold()
        await _sleep(self._machine.latency.token + self._script.delay)
        self._sent += 1
        if self._sent % _TOKENS_PER_YIELD == 0:
            await asyncio.sleep(0)

    async def _hold(self) -> None:
        if self._script.hold is not None and self._sent == self._script.hold_after:
            await self._machine.scripts.event(self._script.hold).wait()

    async def _end_of_tokens(self) -> None:
        await self._hold()
        if self._script.error:
            raise ErrorResponse(self._script.status, self._script.error)

    def _last_line(self, text_fields: Object) -> Object:
        now = time.perf_counter_ns()
        fields: Object = {"done": True}
        if self._plan.done_reason:
            fields["done_reason"] = self._plan.done_reason
        if self._request.context:
            tokens = [*_token_ids(self._request.model_input.full_prompt), *_token_ids(_text(self._plan.content))]
            fields["context"] = [*self._request.prior_context, *tokens]
        fields["total_duration"] = now - self._started
        fields["load_duration"] = self._load_nanoseconds
        count = self._plan.tokens if self._script.tokens is None else self._script.tokens
        # Go omits counters that are zero.
        if self._prompt_tokens:
            fields["prompt_eval_count"] = self._prompt_tokens
        if self._machine.generation.has_cached_prompt_count:
            fields["prompt_eval_cached_count"] = 0
        fields["prompt_eval_duration"] = self._prompt_nanoseconds
        if count:
            fields |= {"eval_count": count, "eval_duration": max(now - self._prompt_done, 1)}
        return self._request.line(text_fields, **fields)

    def _tool_calls(self) -> list[Object]:
        generation = self._machine.generation
        return [_tool_call(call, index, generation, native=self._native) for index, call in enumerate(self._plan.calls)]

    def _logprobs(self, tokens: list[Token]) -> Object:
        if not self._request.logprobs or not self._machine.generation.has_logprobs or not tokens:
            return {}
        return {"logprobs": [_token_logprobs(token, self._request.top_logprobs) for token in tokens]}


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _text(tokens: list[Token]) -> str:
    return "".join(token.text for token in tokens)


def _token_ids(text: str) -> list[int]:
    """Numbers that represent a text in `context`, one for each token."""
    data = text.encode("utf-8", "replace")
    return [1000 + int.from_bytes(data[start : start + 4], "little") % 30_000 for start in range(0, len(data), 4)]


def _token_logprobs(token: Token, top: int) -> Object:
    fields = _logprob(token.text, token.logprob)
    if top:
        fields["top_logprobs"] = [_logprob(text, value) for text, value in token.alternatives[:top]]
    return fields


def _logprob(text: str, logprob: float) -> Object:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _tool_call(call: Object, index: int, generation: Generation, *, native: bool) -> Object:
    function: Object = {"name": call["name"], "arguments": call.get("arguments", {})}
    # Before v0.12.6 an index of zero was omitted.
    if generation.since(0, 12, 6) or index:
        function = {"index": index, **function}
    if not generation.since(0, 12, 10):
        return {"function": function}
    # Ids of llama-server have another form than those of Ollama.
    new_id = _random_id(32) if native else f"call_{_random_id(8).lower()}"
    return {"id": call.get("id") or new_id, "function": function}


def _random_id(length: int) -> str:
    return "".join(random.choices(_ID_CHARACTERS, k=length))
