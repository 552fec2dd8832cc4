"""Read-only tools about models: what is installed, what one model can do, what is loaded in memory."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from ollama_mcp import READS, Call, Data, tool
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.escaping import MAX_NOTE_LENGTH, escape, indent
from ollama_mcp.formats.model_names import same_model
from ollama_mcp.hosts.model_cards import capabilities_of, card_section, default_options
from ollama_mcp.server.formatting import format_bytes, format_date, format_notes, format_table
from ollama_mcp.server.types import ModelName
from ollama_mcp.work.choosing import models_with_capability, without_twins

if TYPE_CHECKING:
    from ollama_mcp.api import RunningModel

Capability = Literal["completion", "tools", "vision", "embedding", "thinking", "insert", "audio", "decision"]
Part = Literal["parameters", "template", "license", "system", "messages", "modelfile", "model_info", "tensors"]


class InstalledModel(BaseModel):
    """An installed model, as the list shows it; equal digests are the same model under several names."""

    name: str
    size_bytes: int
    parameters: str | None = None
    quantization: str | None = None
    context_length: int | None = None
    embedding_length: int | None = None
    capabilities: list[str] | None = None
    modified: str | None = None
    digest: str | None = None
    # Only where there are several hosts.
    hosts: SkipJsonSchema[list[str] | None] = None


class InstalledModels(Data):
    """The installed models: newest first, or best first where a capability was asked for."""

    models: list[InstalledModel]
    total: int
    note: str | None = None

    def as_text(self) -> str:
        columns = ("name", "parameters", "quantization", "size", "context", "capabilities", "modified", "digest")
        columns += ("hosts",) if any(m.hosts for m in self.models) else ()
        rows = (
            (
                m.name,
                m.parameters,
                m.quantization,
                format_bytes(m.size_bytes),
                m.context_length,
                _list(m.capabilities),
                m.modified,
                _short_digest(m.digest),
                *([_list(m.hosts)] if columns[-1] == "hosts" else []),
            )
            for m in self.models
        )
        shown = format_table(columns, rows) if self.models else ""
        return "\n".join([*([shown] if shown else []), *format_notes([self.note] if self.note else [])])


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


@tool(title="List installed models", toolset="models", hints=READS)
async def ollama_list_models(
    call: Call,
    capability: Annotated[Capability | None, BeforeValidator(_lower), Field(description="Only models with it.")] = None,
) -> InstalledModels:
    """List the installed models with exact name, size, context length and capabilities: newest first, with capability
    the best first.
    """
    installed = without_twins(await call.client.tags())
    # Older servers do not list capabilities: the pool then asks for each model's card, once.
    facts = await call.hosts.facts(installed)
    wanted = [m for m in installed if not capability or capability in facts[m.name].capabilities]
    notes: list[str] = []
    if capability and wanted:
        names, chosen = await models_with_capability(call, installed, capability)
        wanted.sort(key=lambda m: names.index(m.name) if m.name in names else len(names))
        taken = f"{chosen.model} ({chosen.reason})" if chosen is not None else "none of them"
        notes.append(f"Best first. A call without model uses {taken}.")
    limit = call.settings.limits.listed
    rows = [
        InstalledModel(
            name=m.name,
            size_bytes=m.size,
            parameters=m.details.parameter_size or None,
            quantization=m.details.quantization_level or None,
            context_length=facts[m.name].context_length or m.details.context_length,
            embedding_length=facts[m.name].embedding_length if "embedding" in facts[m.name].capabilities else None,
            capabilities=facts[m.name].capabilities or None,
            modified=format_date(m.modified_at) or None,
            digest=m.digest or None,
            hosts=call.hosts.hosts_of(m) or None,
        )
        for m in wanted[:limit]
    ]
    notes += call.hosts.differences()
    if wanted and capability == "embedding":
        lengths = dict.fromkeys(f"{row.name} {row.embedding_length}" for row in rows if row.embedding_length)
        notes += [f"Numbers per vector: {', '.join(lengths)}."] if lengths else []
        notes.append("A text longer than the context is refused by ollama_embed, and split by ollama_search.")
    notes += _notes(len(installed), len(wanted), limit, capability)
    return InstalledModels(models=rows, total=len(wanted), note=" ".join(notes) or None)


def _notes(installed: int, wanted: int, limit: int, capability: str | None) -> list[str]:
    if not installed:
        return ["No model is installed. If the user agrees, ollama_pull_model downloads one."]
    if not wanted:
        return [f"None of the {installed} installed models has the capability {capability!r}."]
    return [f"{limit} of {wanted} are shown; pass capability to narrow the list."] if wanted > limit else []


class ModelDetails(Data):
    """What a model is and can do."""

    model: str
    family: str | None = None
    parameters: str | None = None
    quantization: str | None = None
    size_bytes: int | None = None
    loaded: bool | None = None
    context_length: int | None = None
    embedding_length: int | None = None
    capabilities: list[str] | None = None
    thinking_levels: list[str] | None = None
    modified: str | None = None
    digest: str | None = None
    runs_on: str | None = None
    requires: str | None = None
    license_name: str | None = None
    default_options: dict[str, Any] | None = None
    included: dict[str, Any] | None = None

    def as_text(self) -> str:
        shown = {name: value for name, value in self if value is not None and name not in ("included", "size_bytes")}
        shown |= {"size": format_bytes(self.size_bytes)} if self.size_bytes else {}
        shown |= {"digest": _short_digest(self.digest)} if self.digest else {}
        head = [f"{name}: {_on_one_line(value)}" for name, value in shown.items()]
        parts = [
            f"--- {name}\n{indent(_PARTS.get(name, _shown)(value))}" for name, value in (self.included or {}).items()
        ]
        return "\n".join(head + parts)


@tool(title="Show a model", toolset="models", hints=READS)
async def ollama_show_model(
    call: Call,
    model: ModelName,
    include: Annotated[list[Part], Field(description="Parts to return in full.")] = [],
    verbose: Annotated[bool, Field(description="Include token tables and tensors: megabytes.")] = False,
) -> ModelDetails:
    """Show what one model can do, before sending it images, tools or a format: capabilities, context length, thinking
    levels, size, default options.
    """
    found, running = await asyncio.gather(call.hosts.find_model(model), call.hosts.running())
    card = await call.client.show(model, verbose=verbose)
    return ModelDetails(
        model=model,
        family=card.details.family or None,
        parameters=card.details.parameter_size or None,
        quantization=card.details.quantization_level or None,
        size_bytes=found.size if found else None,
        loaded=None if running is None else any(same_model(one.name, model) for one in running),
        context_length=card.context_length,
        embedding_length=card.embedding_length,
        capabilities=capabilities_of(card) or None,
        thinking_levels=[str(value).lower() for value in card.thinking.values] if card.thinking else None,
        modified=format_date(card.modified_at) or None,
        digest=(found.digest or None) if found else None,
        runs_on=card.remote_host or None,
        requires=card.requires or None,
        license_name=_license_name(card.license),
        default_options=default_options(card) or None,
        included={part: card_section(card, part, model=model, verbose=verbose) for part in include} or None,
    )


class LoadedModel(BaseModel):
    """A model in memory."""

    name: str
    size_bytes: int
    gpu_percent: int
    context_length: int | None = None
    expires_in_seconds: int | None = Field(None, description="Absent: stays loaded.")
    # Only where there are several hosts.
    host: SkipJsonSchema[str | None] = None


class LoadedModels(Data):
    """The models in memory."""

    models: list[LoadedModel]

    def as_text(self) -> str:
        if not self.models:
            return "No model is loaded."
        columns = ("name", "memory", "on GPU", "context", "unloads in")
        columns += ("host",) if any(m.host for m in self.models) else ()
        rows = (
            (
                m.name,
                format_bytes(m.size_bytes),
                f"{m.gpu_percent}%",
                m.context_length,
                _expiry(m.expires_in_seconds),
                *([m.host] if columns[-1] == "host" else []),
            )
            for m in self.models
        )
        return format_table(columns, rows)


@tool(title="List loaded models", toolset="models", hints=READS)
async def ollama_list_running(call: Call) -> LoadedModels:
    """List the models loaded in memory, when answers are slow or memory is short: bytes, share on the GPU, context
    length, time until unload. Whether Ollama answers: ollama_status.
    """
    members = call.hosts.members
    if len(members) == 1:
        return LoadedModels(models=[_loaded(m) for m in await call.client.ps()])
    answers = await asyncio.gather(*(member.client().ps() for member in members), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    # Hosts that do not answer are the business of ollama_status, unless none does.
    if len(failures) == len(members) or not all(isinstance(failure, OllamaMCPError) for failure in failures):
        raise failures[0]
    lists = [answer if not isinstance(answer, BaseException) else [] for answer in answers]
    names = [member.config.name for member in members]
    return LoadedModels(models=[_loaded(m, host=name) for name, found in zip(names, lists, strict=True) for m in found])


def _loaded(model: "RunningModel", *, host: str | None = None) -> LoadedModel:
    return LoadedModel(
        name=model.name,
        size_bytes=model.size,
        gpu_percent=round(100 * min(model.size_vram, model.size) / model.size) if model.size else 0,
        context_length=model.context_length,
        expires_in_seconds=_seconds_left(model.expires_at),
        host=host,
    )


_CENTURY_SECONDS = 100 * 365 * 86_400


def _seconds_left(expires: datetime | None) -> int | None:
    if expires is None:
        return None
    # An unlimited keep_alive arrives as a date some 292 years ahead (the largest duration of Go).
    left = (expires - datetime.now(expires.tzinfo)).total_seconds()
    return None if left > _CENTURY_SECONDS else max(0, round(left))


def _expiry(seconds: int | None) -> str:
    return "never" if seconds is None else f"{seconds} s"


def _short_digest(digest: str | None) -> str | None:
    """The part that tells models apart, as `ollama list` shows it."""
    return digest.removeprefix("sha256:")[:12] if digest else None


def _list(items: list[str] | None) -> str | None:
    return " ".join(items) if items else None


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name} {item}" for name, item in value.items())  # pyright: ignore[reportUnknownVariableType]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType]


def _on_one_line(value: Any) -> str:
    return escape("; ".join(_shown(value).splitlines()), MAX_NOTE_LENGTH)


def _conversation(messages: list[dict[str, Any]]) -> str:
    return "\n".join(f"{one.get('role')}: {one.get('content')}" for one in messages)


def _tensors(value: list[dict[str, Any]] | str) -> str:
    if isinstance(value, str):
        return value
    return "\n".join(f"{one.get('name')} {one.get('type')} {one.get('shape')}" for one in value)


_PARTS: dict[str, Callable[[Any], str]] = {"messages": _conversation, "tensors": _tensors}


def _license_name(text: str | None) -> str | None:
    """The first line that is not blank, which names the license; `include` has the whole text."""
    lines = (line.strip() for line in (text or "").splitlines())
    return next((line[:80] for line in lines if line), None)
