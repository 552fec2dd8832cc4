"""What changes installed models on the host: copy, delete, load into memory, unload."""

from typing import Annotated

from pydantic import Field

from ollama_mcp import CHANGES, DESTROYS, Call, Data, InvalidArgument, tool
from ollama_mcp.errors import ModelNotFound
from ollama_mcp.formats.durations import format_seconds, keep_alive_seconds
from ollama_mcp.formats.escaping import MAX_NOTE_LENGTH, escape
from ollama_mcp.formats.model_names import same_model
from ollama_mcp.server.formatting import format_bytes
from ollama_mcp.server.types import Confirm, KeepAlive, LoadOptions, ModelName


class ActionResult(Data):
    """What was done, as one sentence."""

    done: str

    def as_text(self) -> str:
        return self.done


@tool(title="Copy a model", toolset="models", hints=DESTROYS)
async def ollama_copy_model(
    call: Call,
    source: ModelName,
    destination: Annotated[str, Field(description="The new name.")],
    confirm: Confirm = False,
) -> ActionResult:
    """Give an installed model a second name; uses no disk space. Overwriting an existing name needs confirmation."""
    call.check_registry(destination, argument="destination")
    done = ActionResult(done=f"{destination} is now a copy of {source}.")
    if same_model(source, destination):
        raise InvalidArgument(f"source and destination are both {destination!r}.", next_step="Give a new name.")
    # Ollama's answer for a source that is absent names it.
    found = await call.hosts.find_model(source)
    if found is None:
        await call.client.copy(source, destination)
        return done
    content, by = f"copy {found.digest}", f"a copy of {source}"
    target = await call.may_overwrite(destination, confirmed=confirm, content=content, by=by)
    await call.client.copy(source, destination)
    await call.record_written(target)
    return done


@tool(title="Delete a model", toolset="models", hints=DESTROYS)
async def ollama_delete_model(call: Call, model: ModelName, confirm: Confirm = False) -> ActionResult:
    """Delete an installed model from disk; only a new download brings it back. The user is asked first: by a form, or
    by you after [needs_confirmation].
    """
    call.check_policy("delete")
    # The user is not asked about an absent model: the request itself then fails with [model_not_found].
    found = await call.hosts.find_model(model)
    if found is not None:
        await call.confirm(
            f"This deletes {found.name} ({format_bytes(found.size)}, {found.digest[:12]}) from {call.client.base_url}.",
            subject=f"{found.name} {found.digest}",
            confirmed=confirm,
            action="delete",
        )
    await call.client.delete(model)
    call.hosts.invalidate(model)
    return ActionResult(done=f"{model} was deleted.")


class LoadResult(Data):
    """A model that is now in memory."""

    model: str
    seconds: float

    def as_text(self) -> str:
        return f"{self.model} is loaded ({format_seconds(self.seconds)})."


@tool(title="Load a model", toolset="models", hints=CHANGES)
async def ollama_load_model(
    call: Call, model: ModelName, keep_alive: KeepAlive | None = None, options: LoadOptions | None = None
) -> LoadResult:
    """Load a model into memory ahead of time (5 to 60 s), so that its first answer comes at once. options.num_ctx sets
    its context length.
    """
    if keep_alive is not None and keep_alive_seconds(keep_alive) == 0:
        raise InvalidArgument(
            "keep_alive 0 would unload the model.", next_step="To unload it, call ollama_unload_model."
        )
    async with call.progress.phase(f"loading {model}"):
        seconds = await call.hosts.load(model, keep_alive=keep_alive, options=options)
    return LoadResult(model=model, seconds=round(seconds, 1))


class UnloadResult(Data):
    """Models that are no longer in memory."""

    unloaded: list[str]
    note: str | None = None

    def as_text(self) -> str:
        done = f"Unloaded: {', '.join(self.unloaded)}." if self.unloaded else "No model was unloaded."
        return escape(f"{done} {self.note}" if self.note else done, MAX_NOTE_LENGTH)


@tool(title="Unload models", toolset="models", hints=CHANGES)
async def ollama_unload_model(
    call: Call,
    model: Annotated[str, Field(description="Name from ollama_list_running.")] = "",
    all: Annotated[bool, Field(description="Unload every loaded model.")] = False,
    confirm: Confirm = False,
) -> UnloadResult:
    """Free memory: unload one model or all. They stay installed; the next call loads them again. Unloading one that
    another call uses needs confirmation.
    """
    if bool(model) == all:
        raise InvalidArgument(
            "Provide exactly one of model and all=true.", next_step="ollama_list_running names the loaded models."
        )
    # Asked for first: /api/embed with keep_alive 0 loads a model that is not in memory, then unloads it.
    running = [loaded.name for loaded in await call.client.ps()]
    if not all and not any(same_model(name, model) for name in running):
        await call.hosts.installed_model(model)
        return UnloadResult(unloaded=[], note=f"{model} was not loaded.")
    names = running if all else [model]
    used = sorted(name for name in names if call.in_use.has(name))
    if used:
        await call.confirm(
            f"This unloads {', '.join(used)} while other calls use it; they then wait for it to load again.",
            subject=" ".join(used),
            confirmed=confirm,
            action="unload",
        )
    deleted = [name for name in names if not await _unload(call, name, ignore_missing=all)]
    note = f"Deleted while loaded, so they stay until they expire: {', '.join(deleted)}." if deleted else None
    return UnloadResult(unloaded=[name for name in names if name not in deleted], note=note)


async def _unload(call: Call, name: str, *, ignore_missing: bool) -> bool:
    """Unload a model; False if Ollama no longer knows it.

    A model that was deleted while loaded stays in memory, but no request can name it. It must not stop the others.
    """
    try:
        await call.hosts.unload(name)
    except ModelNotFound:
        if ignore_missing:
            return False
        raise
    return True
