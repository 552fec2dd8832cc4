"""Asking a local model: the front door."""

from typing import Annotated, Literal

from pydantic import Field

from ollama_mcp import INFERS, Answer, Call, InvalidArgument, tool
from ollama_mcp.api import ChatMessage
from ollama_mcp.server.types import (
    Audio,
    Background,
    ChatInclude,
    Files,
    Format,
    Images,
    KeepAlive,
    MessageArgument,
    ModelName,
    Options,
    Think,
    ToolDefinition,
    to_api_messages,
    to_api_tools,
)
from ollama_mcp.work.chat.request import Conversation
from ollama_mcp.work.chat.run import send

_REMEDY = "Send less, or name a model with a longer context."


@tool(title="Ask a local model", toolset="inference", hints=INFERS)
async def ollama_chat(
    call: Call,
    prompt: Annotated[str, Field(description="What to ask; or give messages.")] = "",
    messages: Annotated[list[MessageArgument], Field(description="A conversation, oldest first.")] = [],
    system: Annotated[str, Field(description="Instructions for the model.")] = "",
    files: Files = [],
    images: Images = [],
    audio: Audio = [],
    format: Format | None = None,
    think: Think | None = None,
    tools: Annotated[list[ToolDefinition], Field(description="Functions that the model may call.")] = [],
    model: ModelName = "",
    options: Options | None = None,
    keep_alive: KeepAlive | None = None,
    too_long: Annotated[
        Literal["error", "split"], Field(description="Text beyond the context: refuse it, or process it in pieces.")
    ] = "error",
    cite: Annotated[bool, Field(description="Return quotes from the files, each looked up there.")] = False,
    include: Annotated[list[ChatInclude], Field(description="Return these too.")] = [],
    background: Annotated[Background, Field(description="Run as a job.")] = False,
) -> Answer:
    """Ask a local model: the usual way to delegate work (text, files you need not read, images, JSON by format, tool
    calls). The first call loads the model, 5 to 60 s. To continue, send the whole conversation, tool results as role
    'tool'. Labels: ollama_decide. Many inputs: ollama_batch. Search: ollama_search. Raw, fill-in: ollama_generate.
    """
    if bool(prompt) == bool(messages):
        raise InvalidArgument("Provide exactly one of prompt and messages.")
    for limit, items in (("messages", messages), ("tools", tools)):
        if items:
            call.check_count(limit, items)
    given = to_api_messages(messages) if messages else [ChatMessage(role="user", content=prompt)]
    split = too_long == "split"
    conversation = Conversation(
        "chat",
        model,
        format,
        think,
        options,
        include,
        images=[*(source for message in messages for source in message.images), *images],
        audio=audio,
        remedy=_REMEDY if split else f"Set too_long='split', or {_REMEDY[0].lower()}{_REMEDY[1:]}",
        capabilities=["tools"] if tools else [],
        messages=[ChatMessage(role="system", content=system), *given] if system else given,
        image_counts=[len(message.images) for message in messages],
        files=files,
        tools=to_api_tools(tools) if tools else [],
        keep_alive=keep_alive,
        cite=cite,
        split=split,
    )
    if files or cite or split:
        from ollama_mcp.work.chat.conversation import answer

        return await answer(call, conversation)
    return await send(call, conversation)
