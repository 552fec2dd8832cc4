"""Chooses the model for a call that names none, by one readable rule."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from ollama_mcp.errors import InvalidArgument, ModelNotFound
from ollama_mcp.formats.model_names import parse_name, same_model
from ollama_mcp.hosts.model_activity import fully_on_gpu

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary, RunningModel
    from ollama_mcp.settings.model import DefaultSettings
    from ollama_mcp.work.call_context import CallContext

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
# Reported of v0.40, neither documented nor recorded; where no host has such names nothing is hidden.
_TWIN = re.compile(r"llamacpp:(sha256-)?[0-9a-f]{12,64}", re.IGNORECASE)
GIGABYTE = 1_000_000_000
_KEPT = 8
_MAX_NAMED = 32
_MADE_FOR_OTHER_THINGS = frozenset({"image", "decision", "embedding"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """An installed model, reduced to what the choice depends on.

    Args:
        name: Its name.
        size: Bytes on disk.
        capabilities: What it can do.
        is_cloud: Whether it runs on ollama.com.
        is_loaded: Whether it is in memory now.
        on_gpu: Whether it is known to run wholly on the GPU of this host.
        is_library: Whether the name is one of Ollama's library, not one that somebody gave to the same model.
    """

    name: str
    size: int = 0
    capabilities: tuple[str, ...] = ("completion",)
    is_cloud: bool = False
    is_loaded: bool = False
    on_gpu: bool = False
    is_library: bool = True


AnyCandidate = TypeVar("AnyCandidate", bound=Candidate)


@dataclass(frozen=True, slots=True)
class ModelRequirements:
    """What a model must be able to do.

    Args:
        task: The task.
        extra_capabilities: Capabilities needed beside those of the task, such as "vision".
        largest_gb: Largest model in gigabytes (powers of 1,000) on disk that is taken without being known to run on
            the GPU.
    """

    task: Task
    extra_capabilities: frozenset[str] = frozenset()
    largest_gb: float = 16.0

    @property
    def capabilities(self) -> list[str]:
        """All capabilities that it needs, the rarest first; to decide there is another way, 'decision'."""
        return [*sorted(self.extra_capabilities), "embedding" if self.task == "embed" else "completion"]

    def is_met_by(self, model: Candidate) -> bool:
        """Whether a model can do it and is made for it; never one that runs on ollama.com."""
        able = set(model.capabilities)
        if model.is_cloud or not self.extra_capabilities <= able:
            return False
        if self.task == "embed":
            return "embedding" in able
        if self.task == "decide" and "decision" in able:
            return True
        return "completion" in able and not able & _MADE_FOR_OTHER_THINGS


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model for a task; the reason, and a note that states it, are empty where the caller named the model."""

    model: str
    note: str = ""
    reason: str = ""


class ModelHabits:
    """The models that one caller named for each task, the most recent first.

    A name counts once its model has answered, and only while such a model is installed and can do what is asked, so
    that a misspelt one, or one that refuses the call, changes nothing.
    """

    def __init__(self) -> None:
        self._names: dict[Task, list[str]] = {}
        # Named by calls that may still fail, with the model's name; the oldest are forgotten.
        self._named: list[tuple[Task, str]] = []

    def recent(self, task: Task) -> Sequence[str]:
        """The names, the most recent first."""
        return self._names.get(task, ())

    def name(self, task: Task, model: str) -> None:
        """Take note that a call named a model, which counts once it has answered."""
        if (task, model) not in self._named:
            self._named = [*self._named[1 - _MAX_NAMED :], (task, model)]

    def record_answer(self, model: str) -> None:
        """Remember a model that has answered, for the tasks that it was named for."""
        for task, named in self._named:
            if named == model and model not in self._names.get(task, ())[:1]:
                self.record(task, model)
        self._named = [pair for pair in self._named if pair[1] != model]

    def record(self, task: Task, model: str) -> None:
        """Remember a model that a call named."""
        known = self._names.get(task, ())
        if known and known[0] == model:
            return
        others = [name for name in known if not same_model(name, model)]
        self._names[task] = [model, *others][:_KEPT]


def pick_model(
    candidates: Iterable[Candidate], wanted: ModelRequirements, *, default: str = "", recent: Sequence[str] = ()
) -> str:
    """The rule: the configured model, else the one that this caller named last, else the best ranked.

    A configured model is taken without a check; the caller's last one only while it is installed and able.

    Args:
        candidates: The installed models.
        wanted: What it must be able to do.
        default: The configured model, or "".
        recent: The models that the caller named before, the most recent first.

    Returns:
        Its name; "" where there is none.
    """
    if default:
        return default
    suitable = rank_candidates(candidates, wanted)
    for name in recent:
        for model in suitable:
            if same_model(model.name, name):
                return model.name
    return suitable[0].name if suitable else ""


def rank_candidates(candidates: Iterable[AnyCandidate], wanted: ModelRequirements) -> list[AnyCandidate]:
    """The models that meet the requirements, the best first.

    To decide, decision models go first. Then: what is known to run wholly on the GPU, the largest first; what is not
    too large, the largest first; the rest, the smallest first. What is loaded goes before what is of equal size.
    """

    def place(model: Candidate) -> tuple[object, ...]:
        helps = wanted.task == "decide" and "decision" in model.capabilities
        too_large = not model.on_gpu and model.size > wanted.largest_gb * GIGABYTE
        size = model.size if too_large else -model.size
        return not helps, not model.on_gpu, too_large, size, not model.is_loaded, not model.is_library, model.name

    return sorted(filter(wanted.is_met_by, candidates), key=place)


def requirements_for(capability: str, largest_gb: float) -> ModelRequirements:
    """The requirements that stand for one capability."""
    tasks: dict[str, Task] = {"embedding": "embed", "decision": "decide", "insert": "generate"}
    plain = capability in ("completion", "embedding", "decision")
    return ModelRequirements(
        tasks.get(capability, "chat"), frozenset() if plain else frozenset({capability}), largest_gb
    )


def configured_model(defaults: DefaultSettings, task: Task, *, vision: bool = False) -> tuple[str, str]:
    """The settings' model for a task and the setting that names it; ("", "") without one."""
    settings = ["vision", task, "model"] if vision else [task, "model"]
    named = ((getattr(defaults, setting), f"defaults.{setting}") for setting in settings)
    return next((pair for pair in named if pair[0]), ("", ""))


def as_candidate(
    model: ModelSummary, able: Sequence[str], running: Sequence[RunningModel], known: Mapping[str, bool]
) -> Candidate:
    """An installed model as a candidate.

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
        # Names of one digest are one model in memory.
        is_loaded=any(same_model(one.name, model.name) or one.digest == model.digest != "" for one in running),
        is_library=is_valid_name(model.name) and parse_name(model.name).namespace == "library",
        on_gpu={**known, **fully_on_gpu(running)}.get(model.digest, False),
    )


def without_twins(installed: Sequence[ModelSummary]) -> list[ModelSummary]:
    """The models without the second names (`llamacpp:` and a digest) that Ollama itself gives to some of them."""
    named = {model.digest for model in installed if not _TWIN.fullmatch(model.name)}
    return [model for model in installed if not (_TWIN.fullmatch(model.name) and model.digest in named)]


async def list_candidates(call: CallContext, installed: Sequence[ModelSummary]) -> list[Candidate]:
    """The installed models as candidates."""
    installed = without_twins(installed)
    able = await call.hosts.capabilities(installed)
    running = await call.hosts.loaded_models.all()
    known = await call.store.models.gpu_placements()
    return [as_candidate(model, able[model.name], running, known) for model in installed if is_valid_name(model.name)]


async def choose(
    call: CallContext, name: str, task: Task, *, vision: bool = False, also: Collection[str] = ()
) -> ModelChoice:
    """The model to use: the one that was named, else the one that `pick_model` chooses.

    Args:
        call: The context of the call; its habits take note of the name.
        name: The model that the caller named, or "".
        task: The task.
        vision: Whether there are images.
        also: Further capabilities that are needed.

    Raises:
        ModelNotFound: No installed model can do it.
    """
    if name:
        if not parse_name(name).is_cloud:
            call.habits.name(task, name)
        call.progress.model = name
        return ModelChoice(name)
    needs = frozenset({"vision", *also} if vision else also)
    wanted = ModelRequirements(task, needs, call.settings.work.largest_gb)
    candidates: list[Candidate] = []
    if not _configured_model(call, wanted)[0]:
        candidates = await list_candidates(call, await call.hosts.usable())
    chosen = _choose(call, candidates, wanted)
    if chosen is None:
        raise _no_model_error(call, candidates, wanted)
    call.progress.model = chosen.model
    return chosen


async def models_with_capability(
    call: CallContext, installed: Sequence[ModelSummary], capability: str
) -> tuple[list[str], ModelChoice | None]:
    """The models with a capability, and the one that a call which names none would take.

    Args:
        call: The context of the call.
        installed: The installed models.
        capability: The capability.

    Returns:
        The names of the models that suit, the first to be taken first; and what is taken now, where anything is.
    """
    wanted = requirements_for(capability, call.settings.work.largest_gb)
    candidates = await list_candidates(call, installed)
    chosen = _choose(call, candidates, wanted)
    names = [model.name for model in rank_candidates(candidates, wanted)]
    if chosen is not None:
        names.sort(key=lambda name: not same_model(name, chosen.model))
    return names, chosen


def _configured_model(call: CallContext, wanted: ModelRequirements) -> tuple[str, str]:
    return configured_model(call.settings.defaults, wanted.task, vision="vision" in wanted.extra_capabilities)


def _choose(call: CallContext, candidates: Sequence[Candidate], wanted: ModelRequirements) -> ModelChoice | None:
    default, setting = _configured_model(call, wanted)
    usual = call.habits.recent(wanted.task)
    model = pick_model(candidates, wanted, default=default, recent=usual)
    if not model:
        return None
    if default or any(same_model(model, before) for before in usual):
        why = setting or "as before"
        return ModelChoice(model, f"Model: {model} ({why}).", why)
    why = _choice_reason(candidates, wanted)
    return ModelChoice(model, f"Chose {model} ({why}); name a model to use another.", why)


def _choice_reason(candidates: Sequence[Candidate], wanted: ModelRequirements) -> str:
    suitable = rank_candidates(candidates, wanted)
    first, limit = suitable[0], f"{wanted.largest_gb:g} GB"
    if len(suitable) == 1:
        return "the only one installed for this"
    if "decision" in first.capabilities:
        return "a decision model"
    if first.on_gpu:
        return "largest that runs on the GPU here"
    return f"smallest, all exceed {limit}" if first.size > wanted.largest_gb * GIGABYTE else f"largest up to {limit}"


def _no_model_error(call: CallContext, candidates: Sequence[Candidate], wanted: ModelRequirements) -> ModelNotFound:
    needs = " and ".join(map(repr, wanted.capabilities))
    message = f"No model was named, and none of the {len(candidates)} installed here has {needs} for this."
    if not candidates:
        message = f"No model was named, and none is installed on {call.hosts.url}."
    elif any(model.is_cloud for model in candidates):
        message += " Those of ollama.com are used only when named."
    suggested = next(SUGGESTED[need] for need in wanted.capabilities if need in SUGGESTED)
    setting = "vision" if "vision" in wanted.extra_capabilities else wanted.task
    return ModelNotFound(
        message,
        host=call.hosts.url,
        next_step=f"ollama_pull_model(model={suggested!r}) downloads one, if the user wants that. "
        f"Or name a model; the user can set one as defaults.{setting}.",
    )


def is_valid_name(text: str) -> bool:
    """Whether a listed name follows Ollama's rules: a server may list what no request could name."""
    try:
        parse_name(text)
    except InvalidArgument:
        return False
    return True
