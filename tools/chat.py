"""Asking a local model: the front door."""

from itertools import islice
from typing import Annotated

from pydantic import Field

from ollama_mcp import INFERS, Answer, Call, InvalidArgument, tool
from ollama_mcp.api import ChatRequest
from ollama_mcp.api import Message as Turn
from ollama_mcp.server.types import (
    Audio,
    Background,
    ChatInclude,
    ChatModel,
    Format,
    Images,
    KeepAlive,
    Message,
    Options,
    Think,
    ToolDefinition,
    as_tools,
    as_turns,
)
from ollama_mcp.work.inference import Wish, answer, prepare


@tool(title="Ask a local model", toolset="inference", hints=INFERS)
async def ollama_chat(
    call: Call,
    model: ChatModel = "",
    prompt: Annotated[str, Field(description="What to ask; or give messages.")] = "",
    messages: Annotated[list[Message], Field(description="A conversation so far, oldest first.")] = [],
    system: Annotated[str, Field(description="Instructions for the model.")] = "",
    images: Images = [],
    audio: Audio = [],
    format: Format | None = None,
    think: Think | None = None,
    tools: Annotated[list[ToolDefinition], Field(description="Functions it may ask you to call.")] = [],
    options: Options | None = None,
    keep_alive: KeepAlive | None = None,
    include: Annotated[list[ChatInclude], Field(description="More than the answer.")] = [],
    background: Background = False,
) -> Answer:
    """Ask a local model and get its answer: the usual way to hand work to Ollama (text, images, typed JSON by format,
    tool calls). Loading takes 5 to 60 s at first. To continue, send the whole conversation as messages; results of
    tool calls go in as role 'tool'. For raw templates and code fill-in use ollama_generate.
    """
    if bool(prompt) == bool(messages):
        raise InvalidArgument("Give either prompt or messages, not both and not neither.")
    call.check_count("messages", messages)
    call.check_count("tools", tools)
    turns = as_turns([*_system(system), *(messages or [Message(role="user", content=prompt)])])
    shown = [source for message in messages for source in message.images]
    wish = Wish("chat", model, format, think, options, include, [*shown, *images], audio)
    shared = await prepare(call, wish, [turn.content for turn in turns])
    _place(shared.images, turns, messages)
    request = ChatRequest(
        model=shared.model,
        messages=turns,
        tools=as_tools(tools) or None,
        keep_alive=call.keep_alive(keep_alive),
        **shared.fields,
    )
    return await answer(call, request, shared)


def _system(text: str) -> list[Message]:
    return [Message(role="system", content=text)] if text else []


def _place(prepared: list[str], turns: list[Turn], messages: list[Message]) -> None:
    """Give each message its images, and the call's own images and sounds to the last message of the user."""
    left = iter(prepared)
    for turn, message in zip(turns[-len(messages) :], messages, strict=False):
        turn.images = list(islice(left, len(message.images))) or None
    own = list(left)
    if not own:
        return
    last = next((turn for turn in reversed(turns) if turn.role == "user"), None)
    if last is None:
        raise InvalidArgument(
            "images and audio need a message of role 'user' to go with.", next_step="Add one to messages."
        )
    last.images = [*(last.images or []), *own]
