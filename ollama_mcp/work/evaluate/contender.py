"""A model in an evaluation: what it is asked with, its answers and their scores."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument, ModelNotFound, OllamaMCPError
from ollama_mcp.formats.model_names import parse_name, same_model
from ollama_mcp.work.batch.pool import BatchProgress
from ollama_mcp.work.batch.unfinished import description
from ollama_mcp.work.choosing import GIGABYTE, ModelRequirements, choose, list_candidates
from ollama_mcp.work.cloud_policy import check_cloud_policy
from ollama_mcp.work.evaluate.asking import Asking, begin_watch, counts
from ollama_mcp.work.evaluate.metrics import Judged, Score
from ollama_mcp.work.evaluate.spec import MAX_MODELS

if TYPE_CHECKING:
    from ollama_mcp.api import ModelSummary
    from ollama_mcp.work.batch.processors import RowProcessor
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.evaluate.examples import Examples
    from ollama_mcp.work.evaluate.metrics import Metric
    from ollama_mcp.work.evaluate.race import Standing
    from ollama_mcp.work.evaluate.spec import EvaluationSpec


class EvaluationProgress(BatchProgress):
    """Counts the rows of all models together.

    Args:
        total: Rows of all models.
        rows: How many rows each model has done; shared by all.
        model: The model that is asked now.
    """

    def __init__(self, total: int, rows: Counter[str], model: str) -> None:
        super().__init__(total, 0)
        self._rows, self._model = rows, model

    @property
    def finished(self) -> int:
        """Rows that are done, of all models."""
        self._rows[self._model] = self.done_before + self.done
        return self._rows.total()

    def __str__(self) -> str:
        """How far it is: "llama3.2:1b: 120 answers, 8.1/s"."""
        return f"{self._model}: {self.done_before + self.done:,} answers, {self.rate:.3g}/s"


@dataclass(slots=True)
class Contender:
    """A model in an evaluation.

    Attributes:
        name: Its name.
        digest: Its digest; "" for a model of ollama.com.
        size: Bytes on disk; 0 where unknown.
        asking: Its rows.
        standing: How it stands.
        scores: The scores of the answers by the number of the example.
        error: Why it could not be asked any more.
        memory_bytes: What it took in memory; None where unknown.
        gpu_share: The share of that on GPUs.
    """

    name: str
    digest: str
    size: int
    asking: Asking
    standing: Standing
    scores: dict[int, Score] = field(default_factory=dict[int, Score])
    error: OllamaMCPError | None = None
    memory_bytes: int | None = None
    gpu_share: float | None = None

    def score(self, examples: Examples, metric: Metric, last: int) -> None:
        """Score the answers up to number `last` that have no score; one that failed by the model's fault is wrong."""
        for number in range(1, last + 1):
            record = self.asking.records.get(number)
            if record is None or number in self.scores or not counts(record):
                continue
            if record.kind:
                self.scores[number] = Score(False, f"[{record.kind}]")
            elif not isinstance(metric, Judged):
                self.scores[number] = metric.score(record.output, examples.examples[number - 1].expected)

    def right(self, last: int) -> int:
        """How many of the scores up to number `last` are right."""
        return sum(score.right for number, score in self.scores.items() if number <= last)

    def seen(self, last: int) -> int:
        """How many answers up to number `last` are scored."""
        return sum(number <= last for number in self.scores)

    async def note_memory(self, call: CallContext) -> None:
        """Take note of the memory that it takes now."""
        if parse_name(self.name).is_cloud:
            return
        call.hosts.loaded_models.invalidate()
        running = await call.hosts.loaded_models.all()
        own = next((one for one in running if same_model(one.name, self.name)), None)
        if own is not None and own.size:
            self.memory_bytes, self.gpu_share = own.size, round(min(1.0, own.size_vram / own.size), 3)


async def entrants(call: CallContext, spec: EvaluationSpec) -> tuple[list[ModelSummary], list[str]]:
    """The models to evaluate, smallest first, and what should be known about those left out.

    Raises:
        ModelNotFound: One that was named is not installed, or none can do it.
    """
    installed = await call.hosts.usable()
    if spec.models:
        return sorted([await _named(call, name.strip()) for name in spec.models], key=_by_size), []
    wanted = ModelRequirements("decide" if spec.questions else "chat", frozenset(), call.settings.work.largest_gb)
    candidates = [one for one in await list_candidates(call, installed) if wanted.is_met_by(one)]
    most = wanted.largest_gb * GIGABYTE
    fitting = {one.name for one in candidates if one.size <= most or one.on_gpu}
    notes = (
        [f"Left out, over work.largest_gb: {_names(large)}."]
        if (large := [one.name for one in candidates if one.name not in fitting])
        else []
    )
    # Names of one digest are one model.
    found = list({model.digest: model for model in reversed(installed) if model.name in fitting}.values())
    found.sort(key=_by_size)
    if not found:
        raise ModelNotFound(
            "No installed model can do this.",
            host=call.hosts.url,
            next_step="Name models, or download one with ollama_pull_model, if the user wants that.",
        )
    if len(found) > MAX_MODELS:
        notes.append(f"Only the {MAX_MODELS} smallest of {len(found)} models; name others in models.")
    return found[:MAX_MODELS], notes


async def make_contender(
    call: CallContext,
    spec: EvaluationSpec,
    examples: Examples,
    model: ModelSummary,
    standing: Standing,
    rows: Counter[str],
) -> Contender:
    """Prepare a model, before anything is asked.

    Raises:
        OllamaMCPError: It cannot do it, or may not be given the examples.
    """
    processor = await _processor(call, spec, examples, model.name)
    digest = "" if parse_name(model.name).is_cloud else model.digest
    about = {"model": model.name, "input": examples.label, "digest": digest, **description(spec.batch(model.name))}
    key = checkpoint_key(spec, examples, model.name, digest)
    run = await call.batches.open(key, total=len(examples.examples), metadata=about)
    progress = EvaluationProgress(len(examples.examples) * len(rows), rows, model.name)
    asking = Asking(call, processor, examples, run, begin_watch(call, model.name, digest), progress)
    await asking.find_kept()
    # Reads what is known of the model now, so that no row has to wait for it.
    await call.store.models.token_ratio(digest)
    return Contender(model.name, digest, model.size, asking, standing)


def checkpoint_key(spec: EvaluationSpec, examples: Examples, model: str, digest: str) -> str:
    """The key of a model's answers: not that of a batch over the same rows, which is removed with its end."""
    key = spec.batch(model).checkpoint_key(examples, model, digest)
    return hashlib.sha256(f"evaluate {key}".encode()).hexdigest()


async def _processor(call: CallContext, spec: EvaluationSpec, examples: Examples, model: str) -> RowProcessor:
    from ollama_mcp.work.batch.processors import DecisionProcessor, PromptProcessor

    if spec.questions:
        from ollama_mcp.work.decide import prepare_decider

        decider = await prepare_decider(call, spec.questions, model, options=spec.options)
        await check_cloud_policy(call, model, "cloud_batch", "cloud_files")
        return DecisionProcessor(call, spec.prompt, examples, decider)
    await check_cloud_policy(call, model, "cloud_batch", "cloud_files")
    return PromptProcessor(call, spec.batch(model), examples, await choose(call, model, "chat"))


def check_template(spec: EvaluationSpec) -> None:
    """Refuse a prompt that names what is expected.

    Raises:
        InvalidArgument: It does.
    """
    if "{expected}" in spec.prompt.replace("{{", "").replace("}}", ""):
        raise InvalidArgument(
            "prompt names {expected}, the answer itself.", next_step="Leave it out; no model is shown it."
        )


async def _named(call: CallContext, name: str) -> ModelSummary:
    from ollama_mcp.api import ModelSummary

    # A host that passes on to ollama.com does not list what is there.
    if parse_name(name).is_cloud and await call.hosts.find_model(name) is None:
        return ModelSummary(name=name, remote_host="https://ollama.com")
    return await call.hosts.installed_model(name)


def _by_size(model: ModelSummary) -> tuple[bool, int, str]:
    # What runs on ollama.com has a size of nothing here, and is no small model.
    is_cloud = bool(model.remote_host) or parse_name(model.name).is_cloud
    return is_cloud, model.size, model.name


def _names(models: Sequence[str]) -> str:
    return ", ".join(models[:5]) + (f" and {len(models) - 5} more" if len(models) > 5 else "")
