"""POST /api/generate and POST /api/chat."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from ollama_mcp.simulator import decoding
from ollama_mcp.simulator.capabilities import capabilities, template_fault
from ollama_mcp.simulator.decoding import Check
from ollama_mcp.simulator.encoding import Object, as_list, as_object, timestamp
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.generations import Generation
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Machine, is_name
from ollama_mcp.simulator.mind import Ask
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.routes.cloud import find_model
from ollama_mcp.simulator.routes.respond import respond
from ollama_mcp.simulator.routes.turn import Turn
from ollama_mcp.simulator.schema_text import TYPES
from ollama_mcp.simulator.settings import context_length, load_options, merged_options
from ollama_mcp.simulator.store import Model
from ollama_mcp.simulator.tokens import count_tokens

_TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


def _common(generation: Generation) -> dict[str, Check]:
    fields: dict[str, Check] = {
        "model": decoding.string,
        "stream": decoding.boolean,
        "format": decoding.anything,
        "keep_alive": decoding.keep_alive,
        "options": decoding.mapping,
        "think": lambda value, place: decoding.check_think(value, generation),
        "truncate": decoding.boolean,
        "shift": decoding.boolean,
    }
    if generation.has_logprobs:
        fields |= {"logprobs": decoding.boolean, "top_logprobs": decoding.integer}
    return fields


@lru_cache(maxsize=8)
def _generate_request(generation: Generation) -> Check:
    own: dict[str, Check] = dict.fromkeys(("prompt", "suffix", "system", "template"), decoding.string)
    own |= {
        "context": decoding.list_of(decoding.integer, "[]int"),
        "raw": decoding.boolean,
        "images": decoding.list_of(decoding.image, "[]api.ImageData"),
    }
    return decoding.struct("GenerateRequest", {**_common(generation), **own})


@lru_cache(maxsize=8)
def _chat_request(generation: Generation) -> Check:
    own = {
        "messages": decoding.list_of(decoding.message_fields(generation), "[]api.Message"),
        "tools": decoding.list_of(decoding.tool_fields(generation), "api.Tools"),
    }
    return decoding.struct("ChatRequest", {**_common(generation), **own})


async def generate(machine: Machine, request: Request, reply: Reply) -> None:
    """A prompt continued."""
    body = _generate_request(machine.generation)(decoding.parse(request.body), "")
    _check_top_logprobs(body)
    model, body["model"] = find_model(machine, body.get("model", ""), request.path)
    prompt, system = body.get("prompt", ""), body.get("system", model.system)
    if _unloads(body, empty=not prompt):
        return _unload(machine, reply, model, body, {"response": ""})
    # After the unload on purpose: the order of these checks is the server's, and clients see it.
    if body.get("raw") and any(body.get(name) for name in ("template", "system", "context")):
        raise Failure(400, "raw mode does not support template, system, or context")
    thinks = _thinks(machine, model, body)
    _check_capability(machine, model, body, "generate", insert=bool(body.get("suffix")))
    options = merged_options(model, body.get("options"), machine.generation)
    if not prompt:
        return await _load(machine, reply, model, body, options, {"response": ""})
    images = [image for image in as_list(body.get("images")) if image is not None]
    whole = prompt if body.get("raw") else f"{system}\n{prompt}"
    ask = Ask(model, prompt, whole, options, images, thinks=thinks and not body.get("raw"))
    ask.format = _checked_format(machine, body)
    _check_images(machine, model, images, chat=False)
    # A template of the request is first parsed here, so a load with a broken one succeeds.
    if fault := template_fault(body.get("template", "")):
        raise Failure(500, fault)
    _expect_lines(machine, reply, body)
    _check_length(machine, ask, body, chat=False)
    await respond(machine, reply, _turn(body, ask, "generate"))


async def chat(machine: Machine, request: Request, reply: Reply) -> None:
    """The next message of a conversation."""
    body = _chat_request(machine.generation)(decoding.parse(request.body), "")
    _check_top_logprobs(body)
    if not body.get("model") or not (machine.generation.trims_names or is_name(body["model"])):
        raise Failure(400, "model is required")
    hint = not machine.generation.since(0, 7, 0)
    model, body["model"] = find_model(machine, body["model"], request.path, pull_hint=hint)
    messages = [as_object(message) for message in as_list(body.get("messages"))]
    empty: Object = {"message": {"role": "assistant", "content": ""}}
    if _unloads(body, empty=not messages):
        return _unload(machine, reply, model, body, empty)
    thinks = _thinks(machine, model, body)
    tools = as_list(body.get("tools"))
    _check_capability(machine, model, body, "chat", tools=bool(tools))
    options = merged_options(model, body.get("options"), machine.generation)
    if not messages:
        return await _load(machine, reply, model, body, options, empty)
    _expect_lines(machine, reply, body)
    ask = _conversation(model, messages, options)
    ask.tools, ask.thinks, ask.format = tools, thinks, _checked_format(machine, body)
    _check_images(machine, model, ask.images, chat=True)
    _check_length(machine, ask, body, chat=True)
    await respond(machine, reply, _turn(body, ask, "chat"))


def _expect_lines(machine: Machine, reply: Reply, body: Object) -> None:
    if body.get("stream", True):
        reply.expect_stream(lines_only=not machine.generation.status_before_stream)


def _conversation(model: Model, messages: list[Object], options: Object) -> Ask:
    last = messages[-1]
    users = [message for message in messages if str(message.get("role", "")).lower() == "user"]
    spoken = users[-1] if users else last
    images = [image for message in messages for image in as_list(message.get("images")) if image is not None]
    system = "" if str(messages[0].get("role", "")).lower() == "system" else model.system
    whole = "\n".join([system, *(str(message.get("content", "")) for message in messages)])
    ask = Ask(model, str(spoken.get("content", "")), whole, options, images)
    if str(last.get("role", "")).lower() == "tool":
        ask.tool_result = str(last.get("content", ""))
    return ask


def _turn(body: Object, ask: Ask, kind: Any) -> Turn:
    return Turn(
        kind=kind,
        named=body["model"],
        ask=ask,
        stream=body.get("stream", True),
        keep_alive=body.get("keep_alive"),
        logprobs=body.get("logprobs", False),
        top_logprobs=body.get("top_logprobs", 0),
        shift=body.get("shift", True),
        context=kind == "generate" and not body.get("raw", False),
        carried=as_list(body.get("context")),
    )


def _unloads(body: Object, *, empty: bool) -> bool:
    return empty and body.get("keep_alive") == 0


def _unload(machine: Machine, reply: Reply, model: Model, body: Object, text: Object) -> None:
    machine.scheduler.unload(model)
    reply.json({"model": body["model"], "created_at": timestamp(), **text, "done": True, "done_reason": "unload"})


async def _load(machine: Machine, reply: Reply, model: Model, body: Object, options: Object, text: Object) -> None:
    context = context_length(model, options)
    loaded = load_options(options, context, True)
    async with machine.scheduler.use(model, loaded, context, body.get("keep_alive")):
        await asyncio.sleep(0)
    reply.json({"model": body["model"], "created_at": timestamp(), **text, "done": True, "done_reason": "load"})


def _check_top_logprobs(body: Object) -> None:
    if not 0 <= body.get("top_logprobs", 0) <= 20:
        raise Failure(400, "top_logprobs must be between 0 and 20")


def _thinks(machine: Machine, model: Model, body: Object) -> bool:
    """Whether the model is to think.

    Raises:
        Failure: 400, it is asked to and cannot.
    """
    generation, think = machine.generation, body.get("think")
    able = "thinking" in capabilities(model, generation)
    if think and not able:
        raise Failure(400, f'"{body["model"]}" does not support thinking')
    # An unknown level is silently the default.
    if isinstance(think, str) and generation.describes_thinking and model.levels and think not in model.levels:
        think = None
    if not generation.has_thinking or not able:
        return False
    if think is None:
        return generation.thinks_unasked
    return bool(think) or bool(model.levels and False not in model.levels)


def _check_capability(
    machine: Machine, model: Model, body: Object, verb: str, *, tools: bool = False, insert: bool = False
) -> None:
    has = capabilities(model, machine.generation)
    if "completion" not in has:
        raise Failure(400, f'"{body["model"]}" does not support {verb}')
    for wanted, name in ((tools, "tools"), (insert, "insert")):
        if wanted and name not in has:
            raise Failure(400, f"{model.name.full} does not support {name}")


def _checked_format(machine: Machine, body: Object) -> str | Object | None:
    wanted = decoding.check_format(body.get("format"))
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if isinstance(kind, str) and kind not in TYPES:
        if not machine.generation.native_templates:
            raise Failure(500, "invalid JSON schema in format")
        reason = f"Automatic parser generation failed: JSON schema error at #: unrecognized type {kind}"
        text = f"Unable to generate parser for this template. {reason}"
        raise Failure.nested(400, text, "invalid_request_error")
    return wanted


def _check_images(machine: Machine, model: Model, images: list[bytes], *, chat: bool) -> None:
    if not images or "vision" in capabilities(model, machine.generation):
        return
    if not machine.generation.native_templates:
        # Older servers dropped what the model could not see.
        images.clear()
    elif chat:
        hint = "hint: if this is unexpected, you may need to provide the mmproj"
        raise Failure.nested(500, f"image input is not supported - {hint}", "server_error")
    else:
        text = "Multimodal data provided, but model does not support multimodal requests."
        raise Failure.nested(400, text, "invalid_request_error")


def _check_length(machine: Machine, ask: Ask, body: Object, *, chat: bool) -> None:
    """Refuse a prompt that is longer than the context where the generation refuses; else it is cut silently."""
    generation, context = machine.generation, context_length(ask.model, ask.options)
    tokens = count_tokens(ask.prompt if chat else ask.whole)
    truncates, shifts = body.get("truncate", True), body.get("shift", True)
    if tokens <= context or not generation.since(0, 12, 6):
        return
    if not generation.native_templates:
        if not truncates:
            raise Failure(400, "the input length exceeds the context length")
    elif chat or not truncates:
        text = f"request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
        raise Failure.nested(400, text, "exceed_context_size_error", n_prompt_tokens=tokens, n_ctx=context)
    elif not shifts:
        raise Failure(400, _TOO_LONG)
