"""Create a model from another one, from a Modelfile, or from model files."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from ollama_mcp import DESTROYS, Call, Data, InvalidArgument, NotAllowed, tool
from ollama_mcp.formats.durations import format_seconds
from ollama_mcp.formats.escaping import escape
from ollama_mcp.server.formatting import format_bytes, format_notes
from ollama_mcp.server.types import Background, Confirm, Digests, Parameters

Quantization = Literal["F32", "F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M"]
MAX_NAMED = 5
RARE_FIELDS = ("renderer", "parser", "requires", "capabilities", "info", "draft_files", "draft_quantize", "remote_host")

More = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"renderer": {"type": "string"}},
            "additionalProperties": True,
            "description": "Rare: parser, requires, capabilities, info, draft_files, draft_quantize.",
        }
    ),
]

Adapters = Annotated[
    Digests,
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"lora.gguf": {"type": "string"}},
            "additionalProperties": True,
            "description": "As files.",
        }
    ),
]


class Example(BaseModel):
    # A message of a conversation that is built into a model; no docstring, which would go into the tool list.
    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class Created(Data):
    """The model that was created."""

    model: str
    seconds: float
    size_bytes: int | None = None
    digest: str | None = None
    uploaded: list[str] | None = None
    note: str | None = None

    def as_text(self) -> str:
        source = f" from {escape(', '.join(self.uploaded), 400)}" if self.uploaded else ""
        done = f"{self.model} was created{source} in {format_seconds(self.seconds)}."
        if self.digest:
            done += f" {format_bytes(self.size_bytes)}, digest {self.digest[:12]}."
        return "\n".join([done, *format_notes(self.note.split("\n") if self.note else [])])


@tool(title="Create a model", toolset="models", hints=replace(DESTROYS, restarts=True))
async def ollama_create_model(
    call: Call,
    model: Annotated[str, Field(description="Name of the new model.")],
    base: Annotated[str, Field(alias="from", description="Installed model to build on.")] = "",
    modelfile: Annotated[str, Field(description="A Modelfile's text or path.")] = "",
    path: Annotated[str, Field(description="Local GGUF file or safetensors folder.")] = "",
    files: Digests | None = None,
    system: str = "",
    parameters: Parameters | None = None,
    template: Annotated[str, Field(description="Go template.")] = "",
    messages: Annotated[list[Example], Field(description="Example messages.")] = [],
    license: list[str] = [],
    quantize: Annotated[Quantization | None, Field(description="Of F16, F32 or BF16 weights.")] = None,
    adapters: Adapters | None = None,
    more: More | None = None,
    confirm: Confirm = False,
    background: Background = False,
) -> Created:
    """Create a model from one of `from`, `modelfile`, `path` or `files`; other arguments override the Modelfile.
    Overwriting a model is confirmed first.
    """
    # Imported with the first call, so that listing the tools stays fast.
    from ollama_mcp.server.model_creation import create_model, read_definition

    rare = _check_rare_fields(more or {})
    call.check_registry(model)
    definition = await read_definition(call, base=base, modelfile=modelfile, path=path, files=files)
    definition.override(
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
        definition.blobs["adapters"] = adapters
    content, by = definition.fingerprint(), definition.summary
    target = await call.may_overwrite(model, confirmed=confirm, content=content, by=by)
    transfer = await create_model(call, target, definition)
    made = await call.record_written(target)
    return Created(
        model=model,
        seconds=round(transfer.seconds, 1),
        size_bytes=made.size if made is not None else None,
        digest=made.digest if made is not None else None,
        uploaded=_first_few([file.name for file in definition.files]) or None,
        note="\n".join(definition.notes) or None,
    )


def _first_few(names: list[str]) -> list[str]:
    # A large model has hundreds of files.
    return names if len(names) <= MAX_NAMED else [*names[:MAX_NAMED], f"{len(names) - MAX_NAMED} more"]


def _check_rare_fields(more: dict[str, Any]) -> dict[str, Any]:
    """Return the rare fields if all are allowed: with a remote_host Ollama would send prompts to that host."""
    unknown = [name for name in more if name not in RARE_FIELDS]
    if unknown:
        raise InvalidArgument(f"more has no field {unknown[0]!r}.", next_step=f"Known: {', '.join(RARE_FIELDS[:-1])}.")
    if "remote_host" in more:
        raise NotAllowed(
            "more.remote_host is not allowed: prompts would be sent to that host.",
            next_step="Use cloud models by their name, such as 'gpt-oss:20b-cloud'.",
        )
    return more
