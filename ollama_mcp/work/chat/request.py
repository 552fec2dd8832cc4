"""What a chat or generate call asks for, and the checks and choices that make it ready to send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument, TooLong
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.formats.options import split_options
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.work.chat.context_window import (
    ANSWER_TOKENS,
    THINKING_TOKENS,
    ContextFit,
    ContextNeed,
    fit_context,
    reload_note,
)
from ollama_mcp.work.choosing import Task, choose

if TYPE_CHECKING:
    from ollama_mcp.api import ChatMessage
    from ollama_mcp.work.call_context import CallContext

# How many places of a schema a note names.
_SHOWN_PLACES = 4


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """What a caller asks of a model, as far as chat and generate have it in common.

    Args:
        task: Whose default model is used where `model` is empty.
        model: The model's name, or "".
        format: "json", a JSON Schema or None.
        think: As Ollama takes it, or None.
        options: Model options, and the fields that Ollama's API keeps beside them.
        include: What to return beside the text.
        images: Sources of images.
        audio: Sources of sounds.
        remedy: What the caller can do about a prompt that does not fit, for the error.
        file_tokens: Estimated tokens of the prompt that came from files, which the agent never saw.
        context_tokens: Tokens sent along as they are (`context` of generate).
        capabilities: Capabilities that an automatically chosen model must have, beside those that the other fields
            imply.
        quote_tokens: Room for quotes, which the caller's num_predict does not count.
    """

    task: Task
    model: str
    format: dict[str, Any] | str | None = None
    think: bool | str | None = None
    options: dict[str, Any] | None = None
    include: Sequence[str] = ()
    images: Sequence[str] = ()
    audio: Sequence[str] = ()
    remedy: str = "Send less, or name a model with a longer context."
    file_tokens: int = 0
    context_tokens: int = 0
    capabilities: Sequence[str] = ()
    quote_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation(InferenceRequest):
    """What ollama_chat asks for.

    `images` holds those of the messages first, in their order, then those of the call.

    Args:
        messages: The conversation, oldest first; files go with the user's last message.
        image_counts: How many images each of the last `len(image_counts)` messages has of its own.
        files: File specifications, as `work.files` takes them.
        tools: Functions that the model may call, as Ollama takes them.
        keep_alive: How long the model stays loaded, or None.
        cite: Whether the answer must be backed by quotes from the files.
        split: Whether a text that is too long is processed in pieces.
    """

    messages: list[ChatMessage]
    image_counts: Sequence[int] = ()
    files: Sequence[str] = ()
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keep_alive: float | str | None = None
    cite: bool = False
    split: bool = False

    @property
    def last_user_message(self) -> ChatMessage:
        """The user's last message, which files, images and sounds go with.

        Raises:
            InvalidArgument: There is none.
        """
        last = next((message for message in reversed(self.messages) if message.role == "user"), None)
        if last is None:
            raise InvalidArgument(
                "files, images and audio need a message of role 'user' to go with.", next_step="Add one to messages."
            )
        return last

    def with_user_text(self, text: str) -> Conversation:
        """The same conversation with another text in the user's last message."""
        last = self.last_user_message
        messages = [
            message.model_copy(update={"content": text}) if message is last else message for message in self.messages
        ]
        return replace(self, messages=messages)


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request that is ready to send.

    Args:
        request: What was asked for.
        model: The model that serves it.
        fit: How the prompt fits the model's context.
        images: Images and sounds as Ollama takes them, in one list.
        fields: The fields that chat and generate requests share.
        notes: What the caller should know of the choices made.
        format_note: The one of them about what of the format is only checked, or "".
    """

    request: InferenceRequest
    model: str
    fit: ContextFit
    images: list[str]
    fields: dict[str, Any]
    notes: list[str]
    format_note: str = ""


async def prepare(call: CallContext, request: InferenceRequest, texts: Sequence[str]) -> PreparedRequest:
    """Check what Ollama would not, and choose what the caller left open.

    Args:
        call: The context of the call.
        request: What is asked for.
        texts: Everything that the model reads.

    Raises:
        OllamaMCPError: A limit, a missing capability or a wrong argument; nothing was sent to the model.
    """
    check_size(call, texts)
    implied = [name for name, given in (("audio", request.audio), ("thinking", request.think)) if given]
    also = [*request.capabilities, *implied]
    chosen = await choose(call, request.model, request.task, vision=bool(request.images), also=also)
    model = chosen.model
    notes = [chosen.note] if chosen.note else []
    images: list[str] = []
    if request.images or request.audio:
        # Pillow and what goes with it: a text-only call does not pay for them.
        from ollama_mcp.work.chat.attachments import prepare_audio, prepare_images

        images += await prepare_images(call, request.images, model, notes) if request.images else []
        images += await prepare_audio(call, request.audio, model, notes) if request.audio else []
    think = request.think
    if think is not None or request.format is not None:
        think = await _think(call, model, request)
    options: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    if call.settings.defaults.options or request.options:
        options, beside = split_options(call.settings.defaults.options, request.options)
    budget = options.get("num_predict")
    if not isinstance(budget, int) or budget <= 0:
        budget = None
    elif think is not False and "num_predict" not in (request.options or {}) and await _thinks(call, model):
        # The settings gave a budget for the answer, not for the thinking that comes before it.
        budget += THINKING_TOKENS
    if budget is not None:
        budget = options["num_predict"] = budget + request.quote_tokens
    if most := call.settings.policy.num_predict:
        budget = options["num_predict"] = min(budget or most, most)
    need = ContextNeed(
        tokens=sum(map(estimate_tokens, filter(None, texts))) + request.context_tokens,
        images=len(images),
        answer=budget or ANSWER_TOKENS + request.quote_tokens,
        num_ctx=options.get("num_ctx"),
        remedy=request.remedy,
        may_truncate=beside.get("truncate") is True,
    )
    fit = await fit_context(call, model, need)
    if note := reload_note(fit, model, need.answer):
        notes.append(note)
    if fit.num_ctx is not None:
        options["num_ctx"] = fit.num_ctx
    truncate = beside.get("truncate")
    if truncate is None and fit.is_close and not parse_name(model).is_cloud:
        truncate = await _truncate_field(call)
    top = beside.get("top_logprobs")
    form, format_note = request.format, ""
    if isinstance(form, dict):
        form, format_note = await _grammar(call, model, form)
    notes += [format_note] if format_note else []
    fields = {
        "format": form,
        "think": think,
        "options": options or None,
        "truncate": truncate,
        "shift": beside.get("shift"),
        "logprobs": True if "logprobs" in request.include or top else None,
        "top_logprobs": top,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return PreparedRequest(request, model, fit, images, given, notes, format_note)


def check_size(call: CallContext, texts: Sequence[str]) -> None:
    """Hold the texts of one request to the limit of the settings.

    Raises:
        TooLong: Names the limit.
    """
    size = sum(len(text) if text.isascii() else len(text.encode(errors="replace")) for text in texts)
    limit = call.settings.limits.prompt_bytes
    if size > limit:
        raise TooLong(
            f"The prompt has {size:,} bytes; the limit is {limit:,}.",
            next_step="Send less, or raise limits.prompt_bytes in the settings.",
        )


async def _grammar(call: CallContext, model: str, wanted: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The format to send, of a schema what the host's version can hold the model to; and a note on the rest."""
    if parse_name(model).is_cloud:
        return wanted, ""
    from ollama_mcp.formats.grammar_schema import grammar_schema

    version = await call.client.server_version()
    sent = grammar_schema(wanted, version.numbers)
    note = ""
    if left_out := sent.left_out:
        shown = ", ".join(left_out[:_SHOWN_PLACES]) + ", ..." * (len(left_out) > _SHOWN_PLACES)
        note = f"Ollama {version} can't hold a model to these parts of the format, checked here: {shown}."
    return sent.schema, note


async def _think(call: CallContext, model: str, request: InferenceRequest) -> bool | str | None:
    """The think field: a level only where the model has it; off, or lowest, where a format is given.

    Reasoning models put their thoughts into a constrained answer, or break the format (contract of Ollama's API, 5.4).
    """
    if isinstance(request.think, bool):
        return request.think
    if request.think is None and parse_name(model).is_cloud:
        return None
    levels = await call.hosts.thinking_support(model)
    if request.think is None:
        return levels.lowest
    if levels.values is not None and request.think not in levels.values:
        known = ", ".join(str(value).lower() if isinstance(value, bool) else value for value in levels.values)
        raise InvalidArgument(f"think is {request.think!r}, but {model} takes: {known}.")
    return request.think


async def _thinks(call: CallContext, model: str) -> bool:
    return not parse_name(model).is_cloud and (await call.hosts.thinking_support(model)).supported


async def _truncate_field(call: CallContext) -> bool | None:
    """False where the server knows the field, so that it refuses a prompt which it would otherwise cut silently."""
    from ollama_mcp.api import Feature

    return False if (await call.client.server_version()).supports(Feature.TRUNCATE_SHIFT) else None
