"""Operations that Ollama keeps for old clients."""

import time
from typing import Annotated

from pydantic import Field

from ollama_mcp import INFERS, Call, Data, tool
from ollama_mcp.api import EmbeddingsRequest
from ollama_mcp.formats.names import parse_name
from ollama_mcp.formats.options import split_options
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.server.types import EmbedModel, KeepAlive, LoadOptions


class Embedding(Data):
    """One vector."""

    embedding: list[float]
    note: str | None = None

    def as_text(self) -> str:
        numbers = " ".join(f"{number:.6g}" for number in self.embedding)
        return f"{numbers}\n{self.note}" if self.note else numbers


@tool(title="Embed one text (legacy)", toolset="legacy", hints=INFERS)
async def ollama_embeddings(
    call: Call,
    prompt: Annotated[str, Field(description="The text.")],
    model: EmbedModel = "",
    options: LoadOptions | None = None,
    keep_alive: KeepAlive | None = None,
) -> Embedding:
    """Embed one text through Ollama's old endpoint and get the raw vector. ollama_embed replaces it."""
    plain, _ = split_options(call.settings.defaults.options, options)
    chosen = await call.model(model, "embed")
    request = EmbeddingsRequest(
        model=chosen.model, prompt=prompt, options=plain or None, keep_alive=call.keep_alive(keep_alive)
    )
    start = time.monotonic()
    response = await call.client.embeddings(request)
    # The old endpoint tells neither tokens nor time.
    call.store.usage.count(
        chosen.model,
        cloud=parse_name(chosen.model).is_cloud,
        prompt_tokens=estimate_tokens(prompt),
        tokens=0,
        file_tokens=0,
        seconds=time.monotonic() - start,
    )
    return Embedding(embedding=response.embedding, note=chosen.note or None)
