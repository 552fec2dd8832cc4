"""Asking a local model: the front door."""

from typing import Annotated, Literal

from pydantic import Field

from ollama_mcp import INFERS, Answer, Call, InvalidArgument, tool
from ollama_mcp.server.types import (
    Audio,
    Background,
    ChatInclude,
    Files,
    Format,
    Images,
    KeepAlive,
    Message,
    ModelName,
    Options,
    Think,
    ToolDefinition,
    as_tools,
    as_turns,
)
from ollama_mcp.work.asking import Question, ask
from ollama_mcp.work.inference import Wish


@tool(title="Ask a local model", toolset="inference", hints=INFERS)
async def ollama_chat(
    call: Call,
    prompt: Annotated[str, Field(description="What to ask; or give messages.")] = "",
    messages: Annotated[list[Message], Field(description="A conversation, oldest first.")] = [],
    system: Annotated[str, Field(description="Instructions for the model.")] = "",
    files: Files = [],
    images: Images = [],
    audio: Audio = [],
    format: Format | None = None,
    think: Think | None = None,
    tools: Annotated[list[ToolDefinition], Field(description="Functions it may call.")] = [],
    model: ModelName = "",
    options: Options | None = None,
    keep_alive: KeepAlive | None = None,
    too_long: Annotated[Literal["error", "split"], Field(description="split: read it in pieces.")] = "error",
    cite: Annotated[bool, Field(description="Give quotes from the files, each checked.")] = False,
    include: Annotated[list[ChatInclude], Field(description="More than the answer.")] = [],
    background: Background = False,
) -> Answer:
    """Ask a local model, over files you need not read: the usual way to hand work to Ollama (text, images, typed JSON
    by format, tool calls). Loads in 5 to 60 s at first. To continue, send the whole conversation; tool results go in as
    role 'tool'. Labels: ollama_decide. Many inputs: ollama_batch. Search: ollama_rank. Raw, fill-in: ollama_generate.
    """
    if bool(prompt) == bool(messages):
        raise InvalidArgument("Give either prompt or messages, not both and not neither.")
    call.check_count("messages", messages)
    call.check_count("tools", tools)
    turns = as_turns([*_system(system), *(messages or [Message(role="user", content=prompt)])])
    shown = [source for message in messages for source in message.images]
    split = too_long == "split"
    way_out = "Send less, or name a model with a longer context."
    if not split:
        way_out = f"Set too_long='split', or {way_out[0].lower()}{way_out[1:]}"
    needs = ["tools"] if tools else []
    wish = Wish("chat", model, format, think, options, include, [*shown, *images], audio, way_out=way_out, needs=needs)
    question = Question(
        wish=wish,
        turns=turns,
        shown=[len(message.images) for message in messages],
        files=files,
        tools=as_tools(tools),
        keep_alive=keep_alive,
        cite=cite,
        split=split,
    )
    return await ask(call, question)


def _system(text: str) -> list[Message]:
    return [Message(role="system", content=text)] if text else []
