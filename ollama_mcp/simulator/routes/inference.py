"""POST /api/generate and POST /api/chat."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from ollama_mcp.simulator import go_json, request_fields
from ollama_mcp.simulator.errors import ErrorResponse
from ollama_mcp.simulator.go_json import FieldDecoder, Object, as_list, as_object, timestamp
from ollama_mcp.simulator.grammar import is_unreadable, refusal
from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.language import count_tokens
from ollama_mcp.simulator.machine import Machine, is_model_name
from ollama_mcp.simulator.request_fields import context_length, load_options, merge_options
from ollama_mcp.simulator.responder import ModelInput
from ollama_mcp.simulator.response import ResponseWriter
from ollama_mcp.simulator.routes.completion import CompletionRequest, complete
from ollama_mcp.simulator.schema_instances import JSON_TYPES
from ollama_mcp.simulator.server_versions import Generation
from ollama_mcp.simulator.store import StoredModel, capabilities, template_syntax_error

_RUNNER_STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama"
    " server logs for details"
)
_TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


def _common_fields(generation: Generation) -> dict[str, FieldDecoder]:
    fields: dict[str, FieldDecoder] = {
        "model": go_json.string,
        "stream": go_json.boolean,
        "format": go_json.anything,
        "keep_alive": request_fields.keep_alive,
        "options": go_json.mapping,
        "think": lambda value, path: request_fields.check_think(value, generation),
        "truncate": go_json.boolean,
        "shift": go_json.boolean,
    }
    if generation.has_logprobs:
        fields |= {"logprobs": go_json.boolean, "top_logprobs": go_json.integer}
    return fields


@lru_cache(maxsize=8)
def _generate_request(generation: Generation) -> FieldDecoder:
    fields: dict[str, FieldDecoder] = dict.fromkeys(("prompt", "suffix", "system", "template"), go_json.string)
    fields |= {
        "context": go_json.list_of(go_json.integer, "[]int"),
        "raw": go_json.boolean,
        "images": go_json.list_of(go_json.base64_bytes, "[]api.ImageData"),
    }
    return go_json.struct("GenerateRequest", {**_common_fields(generation), **fields})


@lru_cache(maxsize=8)
def _chat_request(generation: Generation) -> FieldDecoder:
    fields: dict[str, FieldDecoder] = {
        "messages": go_json.list_of(request_fields.message_fields(generation), "[]api.Message"),
        "tools": go_json.list_of(request_fields.tool_fields(generation), "api.Tools"),
    }
    return go_json.struct("ChatRequest", {**_common_fields(generation), **fields})


async def generate(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Complete a prompt."""
    body = _generate_request(machine.generation)(go_json.parse(request.body), "")
    # The order of all checks is that of the real server, because the first error hides the others:
    # body, top_logprobs, model, unload, thinking, capabilities, options, load, format, images, length.
    _check_top_logprobs(body)
    model, body["model"] = machine.resolve_model(body.get("model", ""), request.path)
    prompt, system = body.get("prompt", ""), body.get("system", model.system)
    if _is_unload(body, empty=not prompt):
        return _unload(machine, response, model, body, {"response": ""})
    if body.get("raw") and any(body.get(name) for name in ("template", "system", "context")):
        raise ErrorResponse(400, "raw mode does not support template, system, or context")
    thinks = _should_think(machine, model, body)
    _check_capability(machine, model, body, "generate", insert=bool(body.get("suffix")))
    options = merge_options(model, body.get("options"), machine.generation)
    # An empty prompt only loads the model, even if there are images.
    if not prompt:
        return await _load(machine, response, model, body, options, {"response": ""})
    images = [image for image in as_list(body.get("images")) if image is not None]
    full_prompt = prompt if body.get("raw") else f"{system}\n{prompt}"
    model_input = ModelInput(model, prompt, full_prompt, options, images, thinks=thinks and not body.get("raw"))
    model_input.format = _checked_format(machine, body)
    _check_images(machine, model, images, chat=False)
    # The template is parsed only now, so a load with an invalid one succeeds.
    if error := template_syntax_error(body.get("template", "")):
        raise ErrorResponse(500, error)
    _begin_stream(machine, response, body)
    _check_length(machine, model_input, body, chat=False)
    await complete(machine, response, _completion_request(body, model_input, "generate"))


async def chat(machine: Machine, request: HttpRequest, response: ResponseWriter) -> None:
    """Generate the next message of a conversation."""
    body = _chat_request(machine.generation)(go_json.parse(request.body), "")
    _check_top_logprobs(body)
    if not body.get("model") or not (machine.generation.has_strict_names or is_model_name(body["model"])):
        raise ErrorResponse(400, "model is required")
    hint = not machine.generation.since(0, 7, 0)
    model, body["model"] = machine.resolve_model(body["model"], request.path, pull_hint=hint)
    messages = [as_object(message) for message in as_list(body.get("messages"))]
    empty: Object = {"message": {"role": "assistant", "content": ""}}
    if _is_unload(body, empty=not messages):
        return _unload(machine, response, model, body, empty)
    thinks = _should_think(machine, model, body)
    tools = as_list(body.get("tools"))
    _check_capability(machine, model, body, "chat", tools=bool(tools))
    options = merge_options(model, body.get("options"), machine.generation)
    if not messages:
        return await _load(machine, response, model, body, options, empty)
    _begin_stream(machine, response, body)
    model_input = _conversation(model, messages, options)
    model_input.tools, model_input.thinks, model_input.format = tools, thinks, _checked_format(machine, body)
    _check_images(machine, model, model_input.images, chat=True)
    _check_length(machine, model_input, body, chat=True)
    await complete(machine, response, _completion_request(body, model_input, "chat"))


def _begin_stream(machine: Machine, response: ResponseWriter, body: Object) -> None:
    if body.get("stream", True):
        response.expect_stream(lines_only=not machine.generation.status_before_stream)


def _conversation(model: StoredModel, messages: list[Object], options: Object) -> ModelInput:
    last = messages[-1]
    users = [message for message in messages if str(message.get("role", "")).lower() == "user"]
    # Roles and their order are not validated.
    asked = users[-1] if users else last
    images = [image for message in messages for image in as_list(message.get("images")) if image is not None]
    # A system message replaces the system prompt of the model.
    system = "" if str(messages[0].get("role", "")).lower() == "system" else model.system
    full_prompt = "\n".join([system, *(str(message.get("content", "")) for message in messages)])
    model_input = ModelInput(model, str(asked.get("content", "")), full_prompt, options, images)
    if str(last.get("role", "")).lower() == "tool":
        model_input.tool_result = str(last.get("content", ""))
    return model_input


def _completion_request(body: Object, model_input: ModelInput, kind: Any) -> CompletionRequest:
    return CompletionRequest(
        kind=kind,
        model_name=body["model"],
        model_input=model_input,
        stream=body.get("stream", True),
        keep_alive=body.get("keep_alive"),
        logprobs=body.get("logprobs", False),
        top_logprobs=body.get("top_logprobs", 0),
        shift=body.get("shift", True),
        context=kind == "generate" and not body.get("raw", False),
        prior_context=as_list(body.get("context")),
    )


def _is_unload(body: Object, *, empty: bool) -> bool:
    return empty and body.get("keep_alive") == 0


def _unload(machine: Machine, response: ResponseWriter, model: StoredModel, body: Object, text_fields: Object) -> None:
    machine.scheduler.unload(model)
    _send_done(response, body, text_fields, "unload")


async def _load(
    machine: Machine,
    response: ResponseWriter,
    model: StoredModel,
    body: Object,
    options: Object,
    text_fields: Object,
) -> None:
    context = context_length(model, options)
    loaded = load_options(options, context, True)
    async with machine.scheduler.use(model, loaded, context, body.get("keep_alive")):
        await asyncio.sleep(0)
    _send_done(response, body, text_fields, "load")


def _send_done(response: ResponseWriter, body: Object, text_fields: Object, reason: str) -> None:
    # One JSON object, even if the request is a stream.
    fields = {"model": body["model"], "created_at": timestamp(), **text_fields}
    response.json({**fields, "done": True, "done_reason": reason})


def _check_top_logprobs(body: Object) -> None:
    if not 0 <= body.get("top_logprobs", 0) <= 20:
        raise ErrorResponse(400, "top_logprobs must be between 0 and 20")


def _should_think(machine: Machine, model: StoredModel, body: Object) -> bool:
    """Whether the model thinks before it answers.

    Raises:
        ErrorResponse: 400, thinking is requested but not supported.
    """
    generation, think = machine.generation, body.get("think")
    can_think = "thinking" in capabilities(model, generation)
    if think and not can_think:
        raise ErrorResponse(400, f'"{body["model"]}" does not support thinking')
    # An unknown level means the default.
    if (
        isinstance(think, str)
        and generation.lists_think_values
        and model.think_levels
        and think not in model.think_levels
    ):
        think = None
    if not generation.has_thinking or not can_think:
        return False
    if think is None:
        return generation.thinks_by_default
    # gpt-oss has no value for "off": false cannot disable its thinking.
    return bool(think) or bool(model.think_levels and False not in model.think_levels)


def _check_capability(
    machine: Machine, model: StoredModel, body: Object, verb: str, *, tools: bool = False, insert: bool = False
) -> None:
    has = capabilities(model, machine.generation)
    if "completion" not in has:
        raise ErrorResponse(400, f'"{body["model"]}" does not support {verb}')
    # This error has the full name, the one above the name of the request.
    for needed, name in ((tools, "tools"), (insert, "insert")):
        if needed and name not in has:
            raise ErrorResponse(400, f"{model.name.full} does not support {name}")


def _checked_format(machine: Machine, body: Object) -> str | Object | None:
    value = request_fields.check_format(body.get("format"))
    if not isinstance(value, dict):
        return value
    native = machine.generation.has_native_templates
    kind = value.get("type")
    if not (reason := refusal(value, native=native)):
        escapes = machine.generation.since(0, 17, 7)
        return (
            _without_grammar(machine) if is_unreadable(value, escapes=escapes, counts=escapes and not native) else value
        )
    if not native:
        raise ErrorResponse(500, "invalid JSON schema in format")
    if isinstance(kind, str) and kind not in JSON_TYPES:
        # The root's type is refused before the conversion begins.
        text = (
            "Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at #:"
            f" unrecognized type {kind}"
        )
    else:
        text = f"Field 'json_schema': \"json_schema\": JSON schema conversion failed:\n{reason}"
    raise ErrorResponse.nested(400, text, "invalid_request_error")


def _without_grammar(machine: Machine) -> None:
    """What becomes of a format whose grammar can't be read: an error, or nothing holds the answer to it."""
    if machine.generation.has_native_templates:
        text = "Failed to initialize samplers: failed to parse grammar"
        raise ErrorResponse.nested(400, text, "invalid_request_error")
    if machine.generation.since(0, 17, 7):
        raise ErrorResponse(500, _RUNNER_STOPPED)


def _check_images(machine: Machine, model: StoredModel, images: list[bytes], *, chat: bool) -> None:
    if not images or "vision" in capabilities(model, machine.generation):
        return
    if not machine.generation.has_native_templates:
        # Older servers ignored images that the model does not support.
        images.clear()
    elif chat:
        hint = "hint: if this is unexpected, you may need to provide the mmproj"
        raise ErrorResponse.nested(500, f"image input is not supported - {hint}", "server_error")
    else:
        text = "Multimodal data provided, but model does not support multimodal requests."
        raise ErrorResponse.nested(400, text, "invalid_request_error")


def _check_length(machine: Machine, model_input: ModelInput, body: Object, *, chat: bool) -> None:
    """Reject a prompt that is longer than the context, on servers that do; others truncate it silently."""
    generation, context = machine.generation, context_length(model_input.model, model_input.options)
    # Chat drops old messages until the prompt fits, so only the last one can be too long.
    tokens = count_tokens(model_input.prompt if chat else model_input.full_prompt)
    truncate, shift = body.get("truncate", True), body.get("shift", True)
    if tokens <= context or not generation.since(0, 12, 6):
        return
    if not generation.has_native_templates:
        if not truncate:
            raise ErrorResponse(400, "the input length exceeds the context length")
    elif chat or not truncate:
        text = f"request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
        raise ErrorResponse.nested(400, text, "exceed_context_size_error", n_prompt_tokens=tokens, n_ctx=context)
    elif not shift:
        raise ErrorResponse(400, _TOO_LONG)
