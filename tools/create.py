"""Creating a model from another one, or from files that the host already has."""

from typing import Annotated, Literal

from pydantic import Field

from ollama_mcp import DESTROYS, Call, Data, InvalidArgument, tool
from ollama_mcp.api import CreateRequest
from ollama_mcp.formats.durations import shown_seconds
from ollama_mcp.server.transfers import follow
from ollama_mcp.server.types import Confirm, Digests, Message, Parameters, as_turns

Quantization = Literal["F32", "F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M"]


class Created(Data):
    """A model that now exists."""

    model: str
    seconds: float

    def as_text(self) -> str:
        return f"{self.model} was created in {shown_seconds(self.seconds)}."


@tool(title="Create a model", toolset="models", hints=DESTROYS)
async def ollama_create_model(
    call: Call,
    model: Annotated[str, Field(description="Name of the new model.")],
    base: Annotated[str, Field(alias="from", description="Installed model to build on.")] = "",
    system: Annotated[str, Field(description="System prompt built in.")] = "",
    parameters: Parameters | None = None,
    template: Annotated[str, Field(description="Prompt template in Go's notation.")] = "",
    messages: Annotated[list[Message], Field(description="Example turns built in.")] = [],
    license: Annotated[list[str], Field(description="License texts.")] = [],
    quantize: Annotated[Quantization | None, Field(description="From F16, F32 or BF16 weights.")] = None,
    adapters: Digests | None = None,
    files: Digests | None = None,
    confirm: Confirm = False,
) -> Created:
    """Make a new model: another one with its own system prompt, options, template or quantization. Give `from`, or
    files already uploaded to the host. Overwriting an existing name is confirmed first.
    """
    if bool(base) == bool(files):
        raise InvalidArgument(
            "Give exactly one of from and files.", next_step="from takes a name from ollama_list_models."
        )
    call.check_registry(model)
    if base:
        await call.hosts.installed_model(base)
    await call.may_overwrite(model, confirmed=confirm)
    request = CreateRequest(
        model=model,
        from_=base or None,
        files=files,
        adapters=adapters,
        template=template or None,
        system=system or None,
        license=license or None,
        parameters=parameters,
        messages=as_turns(messages) or None,
        quantize=quantize,
    )
    transfer = await follow(call.client.create(request), call.progress, f"creating {model}")
    call.hosts.made(model)
    return Created(model=model, seconds=round(transfer.seconds, 1))
