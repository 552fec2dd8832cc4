"""Ollama's generate operation: raw prompts, templates, code fill-in."""

from typing import Annotated

from pydantic import Field

from ollama_mcp import INFERS, Answer, Call, tool
from ollama_mcp.api import GenerateRequest
from ollama_mcp.server.types import (
    Audio,
    Background,
    Format,
    GenerateInclude,
    GenerateOptions,
    Images,
    KeepAlive,
    ModelName,
    Think,
)
from ollama_mcp.work.chat.request import InferenceRequest, prepare
from ollama_mcp.work.chat.run import run


@tool(title="Generate text", toolset="inference", hints=INFERS)
async def ollama_generate(
    call: Call,
    prompt: Annotated[str, Field(min_length=1, description="The prompt; with suffix, the text before the gap.")],
    model: ModelName = "",
    suffix: Annotated[str, Field(description="Text after the gap to fill; needs 'insert'.")] = "",
    raw: Annotated[bool, Field(description="Send the prompt without the model's template.")] = False,
    system: str = "",
    template: Annotated[str, Field(description="Go template to use instead of the model's.")] = "",
    images: Images = [],
    audio: Audio = [],
    format: Format | None = None,
    think: Think | None = None,
    context: Annotated[list[int], Field(description="From an earlier answer's include=['context'].")] = [],
    options: GenerateOptions | None = None,
    keep_alive: KeepAlive | None = None,
    include: Annotated[list[GenerateInclude], Field(description="Return these too.")] = [],
    background: Background = False,
) -> Answer:
    """Complete a raw prompt, use a template of your own, or fill a gap in code (suffix). For questions, conversations,
    files and tools use ollama_chat.
    """
    request = InferenceRequest(
        "generate",
        model,
        format,
        think,
        options,
        include,
        images,
        audio,
        remedy="Use ollama_chat with too_long='split', or send less.",
        context_tokens=len(context),
        capabilities=["insert"] if suffix else [],
    )
    prepared = await prepare(call, request, [prompt, suffix, system, template])
    body = GenerateRequest(
        model=prepared.model,
        prompt=prompt,
        suffix=suffix or None,
        raw=raw or None,
        system=system or None,
        template=template or None,
        context=context or None,
        images=prepared.images or None,
        keep_alive=call.keep_alive(keep_alive),
        **prepared.fields,
    )
    return await run(call, body, prepared)
