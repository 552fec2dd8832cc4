"""Creating a model from another one, or from files that the host already has."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from ollama_mcp import DESTROYS, Call, Data, InvalidArgument, NotAllowed, tool
from ollama_mcp.api import CreateRequest
from ollama_mcp.api import Message as Turn
from ollama_mcp.formats.durations import shown_seconds
from ollama_mcp.server.transfers import follow
from ollama_mcp.server.types import Confirm, Digests, Parameters

Quantization = Literal["F32", "F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M"]


RARE = ("renderer", "parser", "requires", "capabilities", "info", "draft_files", "draft_quantize", "remote_host")

More = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"renderer": {"type": "string"}},
            "additionalProperties": True,
            "description": "Rare fields: parser, requires, capabilities, info, draft_files, draft_quantize.",
        }
    ),
]


class Example(BaseModel):
    # An example turn built into a model; a comment, since a docstring would go into the tool list.
    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


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
    messages: Annotated[list[Example], Field(description="Example turns built in.")] = [],
    license: Annotated[list[str], Field(description="License texts.")] = [],
    quantize: Annotated[Quantization | None, Field(description="From F16, F32 or BF16 weights.")] = None,
    adapters: Digests | None = None,
    files: Digests | None = None,
    more: More | None = None,
    confirm: Confirm = False,
) -> Created:
    """Make a new model: another one with its own system prompt, options, template or quantization. Give `from`, or
    files already uploaded to the host. Overwriting an existing name is confirmed first.
    """
    if bool(base) == bool(files):
        raise InvalidArgument(
            "Give exactly one of from and files.", next_step="from takes a name from ollama_list_models."
        )
    rare = _rare(more or {})
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
        messages=[Turn(role=example.role, content=example.content) for example in messages] or None,
        quantize=quantize,
        **rare,
    )
    transfer = await follow(call.client.create(request), call.progress, f"creating {model}")
    call.hosts.made(model)
    return Created(model=model, seconds=round(transfer.seconds, 1))


def _rare(more: dict[str, Any]) -> dict[str, Any]:
    """The rare fields, by name; a remote_host would make Ollama send prompts elsewhere, so it is not taken."""
    unknown = [name for name in more if name not in RARE]
    if unknown:
        raise InvalidArgument(f"more.{unknown[0]} is unknown.", next_step=f"Known: {', '.join(RARE[:-1])}.")
    if "remote_host" in more:
        raise NotAllowed(
            "more.remote_host is not taken: prompts would leave for that host.",
            next_step="Cloud models are used by their name, such as 'gpt-oss:20b-cloud'.",
        )
    return more
