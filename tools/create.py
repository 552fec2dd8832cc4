"""Creating a model from another one, from a Modelfile, or from model files."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from ollama_mcp import DESTROYS, Call, Data, InvalidArgument, NotAllowed, tool
from ollama_mcp.formats.durations import shown_seconds
from ollama_mcp.server.types import Background, Confirm, Digests, Parameters

Quantization = Literal["F32", "F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M"]
MOST_NAMED = 5
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
    uploaded: list[str] | None = None
    note: str | None = None

    def as_text(self) -> str:
        of = f" of {', '.join(self.uploaded)}" if self.uploaded else ""
        done = f"{self.model} was created{of} in {shown_seconds(self.seconds)}."
        return f"{done}\n{self.note}" if self.note else done


@tool(title="Create a model", toolset="models", hints=DESTROYS)
async def ollama_create_model(
    call: Call,
    model: Annotated[str, Field(description="Name of the new model.")],
    base: Annotated[str, Field(alias="from", description="Installed model to build on.")] = "",
    modelfile: Annotated[str, Field(description="A Modelfile's text or path.")] = "",
    path: Annotated[str, Field(description="GGUF file or safetensors folder to upload.")] = "",
    files: Digests | None = None,
    system: Annotated[str, Field(description="System prompt built in.")] = "",
    parameters: Parameters | None = None,
    template: Annotated[str, Field(description="Prompt template in Go's notation.")] = "",
    messages: Annotated[list[Example], Field(description="Example turns built in.")] = [],
    license: Annotated[list[str], Field(description="License texts.")] = [],
    quantize: Annotated[Quantization | None, Field(description="From F16, F32 or BF16 weights.")] = None,
    adapters: Digests | None = None,
    more: More | None = None,
    confirm: Confirm = False,
    background: Background = False,
) -> Created:
    """Make a new model: of one of `from`, `modelfile`, `path` and `files`, with its own system prompt, options,
    template or quantization, which win over the Modelfile's. Overwriting an existing name is confirmed first.
    """
    # Loaded with the first creation, not with the list of tools.
    from ollama_mcp.server.creation import create
    from ollama_mcp.server.recipes import read_recipe

    rare = _rare(more or {})
    call.check_registry(model)
    recipe = await read_recipe(call, base=base, modelfile=modelfile, path=path, files=files)
    recipe.override(
        {
            "system": system,
            "parameters": parameters or {},
            "template": template,
            "messages": [example.model_dump() for example in messages],
            "license": license,
            "quantize": quantize,
            **rare,
        }
    )
    if adapters:
        recipe.blobs["adapters"] = adapters
    await call.may_overwrite(model, confirmed=confirm)
    transfer = await create(call, model, recipe)
    call.hosts.made(model)
    return Created(
        model=model,
        seconds=round(transfer.seconds, 1),
        uploaded=_first_few([file.name for file in recipe.files]) or None,
        note="\n".join(recipe.notes) or None,
    )


def _first_few(names: list[str]) -> list[str]:
    """A large model has hundreds of files."""
    return names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more"]


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
