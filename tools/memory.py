"""Loading models into memory and freeing it."""

from typing import Annotated

from pydantic import Field

from ollama_mcp import CHANGES, Call, Data, InvalidArgument, tool
from ollama_mcp.errors import ModelNotFound
from ollama_mcp.formats.durations import shown_seconds
from ollama_mcp.formats.names import same_model
from ollama_mcp.server.types import Confirm, KeepAlive, LoadOptions, ModelName


class Loaded(Data):
    """A model that is now in memory."""

    model: str
    seconds: float

    def as_text(self) -> str:
        return f"{self.model} is loaded ({shown_seconds(self.seconds)})."


@tool(title="Load a model", toolset="models", hints=CHANGES)
async def ollama_load_model(
    call: Call, model: ModelName, keep_alive: KeepAlive | None = None, options: LoadOptions | None = None
) -> Loaded:
    """Load a model into memory before it is needed, so that the first answer comes at once; takes 5 to 60 s.
    options.num_ctx sets the context length it is loaded with.
    """
    if keep_alive in (0, "0"):
        raise InvalidArgument("keep_alive 0 would unload the model.", next_step="ollama_unload_model does that.")
    async with call.progress.phase(f"loading {model}"):
        seconds = await call.hosts.load(model, keep_alive=keep_alive, options=options)
    return Loaded(model=model, seconds=round(seconds, 1))


class Unloaded(Data):
    """Models that are no longer in memory."""

    unloaded: list[str]
    note: str | None = None

    def as_text(self) -> str:
        done = f"Unloaded: {', '.join(self.unloaded)}." if self.unloaded else "No model was unloaded."
        return f"{done} {self.note}" if self.note else done


@tool(title="Unload models", toolset="models", hints=CHANGES)
async def ollama_unload_model(
    call: Call,
    model: Annotated[str, Field(description="A name from ollama_list_running.")] = "",
    all: Annotated[bool, Field(description="Unload every loaded model instead.")] = False,
    confirm: Confirm = False,
) -> Unloaded:
    """Free memory: unload one model, or all of them. The model stays installed; the next call loads it again.
    Unloading one that another call uses is confirmed first.
    """
    if bool(model) == all:
        raise InvalidArgument(
            "Give either model or all=true.", next_step="ollama_list_running names the loaded models."
        )
    running = [loaded.name for loaded in await call.client.ps()]
    if not all and not any(same_model(name, model) for name in running):
        await call.hosts.installed_model(model)
        return Unloaded(unloaded=[], note=f"{model} was not loaded.")
    names = running if all else [model]
    used = sorted(name for name in names if call.in_use.has(name))
    if used:
        await call.confirm(
            f"This unloads {', '.join(used)} while other calls use it, which makes them wait for it again.",
            subject=" ".join(used),
            confirmed=confirm,
            action="unload",
        )
    gone = [name for name in names if not await _unload(call, name, quietly=all)]
    note = f"Deleted meanwhile, so they stay until they expire: {', '.join(gone)}." if gone else None
    return Unloaded(unloaded=[name for name in names if name not in gone], note=note)


async def _unload(call: Call, name: str, *, quietly: bool) -> bool:
    """Unload a model; one that was deleted while loaded cannot be named any more, which must not stop the others."""
    try:
        await call.hosts.unload(name)
    except ModelNotFound:
        if quietly:
            return False
        raise
    return True
