"""Which model does a task where the call names none: one readable rule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from ollama_mcp.errors import InvalidArgument, ModelNotFound
from ollama_mcp.formats.names import parse_name, same_model
from ollama_mcp.hosts.contexts import gpu_shares

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary, RunningModel
    from ollama_mcp.settings.model import Defaults
    from ollama_mcp.work.context import CallContext

Task = Literal["chat", "generate", "embed", "decide"]

# Small models of Ollama's library that run on a laptop, for the hosts that have none with the capability.
SUGGESTED = {
    "completion": "llama3.2:3b",
    "vision": "gemma3:4b",
    "embedding": "nomic-embed-text",
    "tools": "llama3.2:3b",
    "thinking": "qwen3:4b",
    "insert": "qwen2.5-coder:1.5b",
}
GIGABYTE = 1_000_000_000
_KEPT = 8
_MADE_FOR_OTHER_THINGS = frozenset({"image", "decision", "embedding"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """An installed model, as far as the choice needs to know it.

    Args:
        name: Its name.
        size: Bytes on disk.
        capabilities: What it can do.
        is_cloud: Whether it runs on ollama.com.
        is_loaded: Whether it is in memory now.
        on_gpu: Whether it is known to run wholly on the GPU of this host.
    """

    name: str
    size: int = 0
    capabilities: tuple[str, ...] = ("completion",)
    is_cloud: bool = False
    is_loaded: bool = False
    on_gpu: bool = False


AnyCandidate = TypeVar("AnyCandidate", bound=Candidate)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a model is wanted for.

    Args:
        task: The task.
        also: Capabilities that it needs beside those of the task, such as "vision".
        largest_gb: Largest model in gigabytes (powers of 1,000) on disk that is taken without being known to run on
            the GPU.
    """

    task: Task
    also: frozenset[str] = frozenset()
    largest_gb: float = 16.0

    @property
    def needs(self) -> list[str]:
        """All capabilities that it needs, the rarest first; to decide there is another way, 'decision'."""
        return [*sorted(self.also), "embedding" if self.task == "embed" else "completion"]

    def suits(self, model: Candidate) -> bool:
        """Whether a model can do it and is made for it; never one that runs on ollama.com."""
        able = set(model.capabilities)
        if model.is_cloud or not self.also <= able:
            return False
        if self.task == "embed":
            return "embedding" in able
        if self.task == "decide" and "decision" in able:
            return True
        return "completion" in able and not able & _MADE_FOR_OTHER_THINGS


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model for a task; `why` this one, and a note that says so, are empty where the caller named it."""

    model: str
    note: str = ""
    why: str = ""


class ModelHabits:
    """The models that one caller named lately for each task, the last first.

    A name is kept whether or not its call succeeds: it counts only while such a model is installed and can do what is
    asked, so that a misspelt one changes nothing.
    """

    def __init__(self) -> None:
        self._names: dict[Task, list[str]] = {}

    def recent(self, task: Task) -> Sequence[str]:
        """The names, the last first."""
        return self._names.get(task, ())

    def use(self, task: Task, model: str) -> None:
        """Remember a model that a call named."""
        others = [name for name in self.recent(task) if not same_model(name, model)]
        self._names[task] = [model, *others][:_KEPT]


def pick(candidates: Iterable[Candidate], wanted: Wanted, *, default: str = "", usual: Sequence[str] = ()) -> str:
    """The rule: the settings' own model, else the one that this caller named last, else the first in order.

    The settings are taken at their word, the caller's last model only while it is installed and suits.

    Args:
        candidates: The installed models.
        wanted: What for.
        default: The settings' model, or "".
        usual: The models that the caller named before, the last first.

    Returns:
        Its name; "" where there is none.
    """
    if default:
        return default
    suitable = in_order(candidates, wanted)
    for name in usual:
        for model in suitable:
            if same_model(model.name, name):
                return model.name
    return suitable[0].name if suitable else ""


def in_order(candidates: Iterable[AnyCandidate], wanted: Wanted) -> list[AnyCandidate]:
    """The models that suit, the best first.

    To decide, decision models go first. Then: what is known to run wholly on the GPU, the largest first; what is not
    too large, the largest first; the rest, the smallest first. What is loaded goes before what is of equal size.
    """

    def place(model: Candidate) -> tuple[object, ...]:
        helps = wanted.task == "decide" and "decision" in model.capabilities
        too_large = not model.on_gpu and model.size > wanted.largest_gb * GIGABYTE
        size = model.size if too_large else -model.size
        return not helps, not model.on_gpu, too_large, size, not model.is_loaded, model.name

    return sorted(filter(wanted.suits, candidates), key=place)


def wanted_for(capability: str, largest_gb: float) -> Wanted:
    """What a model with a capability is wanted for."""
    tasks: dict[str, Task] = {"embedding": "embed", "decision": "decide", "insert": "generate"}
    plain = capability in ("completion", "embedding", "decision")
    return Wanted(tasks.get(capability, "chat"), frozenset() if plain else frozenset({capability}), largest_gb)


def configured(defaults: Defaults, task: Task, *, vision: bool = False) -> tuple[str, str]:
    """The settings' model for a task and the setting that names it; ("", "") without one."""
    settings = ["vision", task, "model"] if vision else [task, "model"]
    named = ((getattr(defaults, setting), f"defaults.{setting}") for setting in settings)
    return next((pair for pair in named if pair[0]), ("", ""))


def candidate_of(
    model: ModelSummary, able: Sequence[str], running: Sequence[RunningModel], known: Mapping[str, bool]
) -> Candidate:
    """What the choice needs to know of an installed model.

    Args:
        model: The model as it is listed.
        able: Its capabilities.
        running: The loaded models.
        known: Whether models run wholly on the GPU, by digest, as seen before; what is seen now wins.
    """
    return Candidate(
        name=model.name,
        size=model.size,
        capabilities=tuple(able),
        is_cloud=bool(model.remote_host) or parse_name(model.name).is_cloud,
        is_loaded=any(same_model(one.name, model.name) for one in running),
        on_gpu={**known, **gpu_shares(running)}.get(model.digest, False),
    )


async def candidates_among(call: CallContext, installed: Sequence[ModelSummary]) -> list[Candidate]:
    """What the choice needs to know of the installed models."""
    able = await call.hosts.capabilities(installed)
    running = await call.hosts.contexts.running()
    known = await call.store.models.known_on_gpu()
    return [candidate_of(model, able[model.name], running, known) for model in installed if is_name(model.name)]


async def choose(
    call: CallContext, name: str, task: Task, *, vision: bool = False, also: Collection[str] = ()
) -> Chosen:
    """The model to use: the one that was named, else by the rule of `pick`.

    Args:
        kit: What is at hand; its habits learn the name.
        name: The model that the caller named, or "".
        task: The task.
        vision: Whether there are images.
        also: Further capabilities that are needed.

    Raises:
        ModelNotFound: No installed model can do it.
    """
    if name:
        if not parse_name(name).is_cloud:
            call.habits.use(task, name)
        return Chosen(name)
    needs = frozenset({"vision", *also} if vision else also)
    wanted = Wanted(task, needs, call.settings.work.largest_gb)
    candidates: list[Candidate] = []
    if not _default(call, wanted)[0]:
        candidates = await candidates_among(call, await call.hosts.listed.get())
    chosen = _chosen(call, candidates, wanted)
    if chosen is None:
        raise _nothing(call, candidates, wanted)
    return chosen


async def ranking(
    call: CallContext, installed: Sequence[ModelSummary], capability: str
) -> tuple[list[str], Chosen | None]:
    """What a call that needs a capability and names no model takes.

    Args:
        call: The context of the call.
        installed: The installed models.
        capability: The capability.

    Returns:
        The names of the models that suit, the first to be taken first; and what is taken now, where anything is.
    """
    wanted = wanted_for(capability, call.settings.work.largest_gb)
    candidates = await candidates_among(call, installed)
    chosen = _chosen(call, candidates, wanted)
    names = [model.name for model in in_order(candidates, wanted)]
    if chosen is not None:
        names.sort(key=lambda name: not same_model(name, chosen.model))
    return names, chosen


def _default(call: CallContext, wanted: Wanted) -> tuple[str, str]:
    return configured(call.settings.defaults, wanted.task, vision="vision" in wanted.also)


def _chosen(call: CallContext, candidates: Sequence[Candidate], wanted: Wanted) -> Chosen | None:
    default, setting = _default(call, wanted)
    usual = call.habits.recent(wanted.task)
    model = pick(candidates, wanted, default=default, usual=usual)
    if not model:
        return None
    if default or any(same_model(model, before) for before in usual):
        why = setting or "as before"
        return Chosen(model, f"Model: {model} ({why}).", why)
    why = _why(candidates, wanted)
    return Chosen(model, f"Chose {model} ({why}); name a model to use another.", why)


def _why(candidates: Sequence[Candidate], wanted: Wanted) -> str:
    suitable = in_order(candidates, wanted)
    first, limit = suitable[0], f"{wanted.largest_gb:g} GB"
    if len(suitable) == 1:
        return "the only one installed for this"
    if "decision" in first.capabilities:
        return "a decision model"
    if first.on_gpu:
        return "largest that runs on the GPU here"
    return f"smallest, all exceed {limit}" if first.size > wanted.largest_gb * GIGABYTE else f"largest up to {limit}"


def _nothing(call: CallContext, candidates: Sequence[Candidate], wanted: Wanted) -> ModelNotFound:
    needs = " and ".join(map(repr, wanted.needs))
    message = f"No model was named, and none of the {len(candidates)} installed here has {needs} for this."
    if not candidates:
        message = f"No model was named, and none is installed on {call.hosts.url}."
    elif any(model.is_cloud for model in candidates):
        message += " Those of ollama.com are used only when named."
    suggested = next(SUGGESTED[need] for need in wanted.needs if need in SUGGESTED)
    setting = "vision" if "vision" in wanted.also else wanted.task
    return ModelNotFound(
        message,
        host=call.hosts.url,
        next_step=f"ollama_pull_model(model={suggested!r}) downloads one, if the user wants that. "
        f"Or name a model; the user can set one as defaults.{setting}.",
    )


def is_name(text: str) -> bool:
    """Whether a listed model could be called by that name."""
    try:
        parse_name(text)
    except InvalidArgument:
        return False
    return True
