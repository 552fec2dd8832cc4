"""The metric "judge": a model answers yes or no to a rubric, and is itself held to what the examples expect."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.work.batch.processors import DecisionProcessor
from ollama_mcp.work.batch.rows import InputRow
from ollama_mcp.work.cloud_policy import check_cloud_policy
from ollama_mcp.work.decide import ClosedQuestion, prepare_decider
from ollama_mcp.work.evaluate.asking import Asking, begin_watch
from ollama_mcp.work.evaluate.contender import EvaluationProgress
from ollama_mcp.work.evaluate.metrics import as_text, normalised

if TYPE_CHECKING:
    from ollama_mcp.work.batch.rows import Record
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.decide import Decider
    from ollama_mcp.work.evaluate.contender import Contender
    from ollama_mcp.work.evaluate.examples import Example, Examples
    from ollama_mcp.work.evaluate.metrics import Judged

# Examples that the judge itself is tried on, each with its own expected answer and with that of another.
_TRIED = 30
_NAME = "judge"


@dataclass(slots=True)
class Texts:
    """Texts to be judged, as the rows of a batch by their numbers."""

    texts: dict[int, str]
    label: str = "the answers"
    fingerprint: str = ""
    columns: Sequence[str] = ("text",)
    is_table: bool = False
    from_files: bool = True
    notes: Sequence[str] = ()

    def rows(self) -> Iterator[InputRow]:
        """See `RowSource`; a number without a text is a row that nobody asks for."""
        for number in range(1, max(self.texts, default=0) + 1):
            yield InputRow(number, {}, {"text": self.texts.get(number, "")})

    def check_unchanged(self) -> None:
        """See `RowSource`."""

    def close(self) -> None:
        """See `RowSource`."""


class Judge:
    """Judges answers.

    Attributes:
        model: The model that judges.
        agreed: Of the answers it was tried on, how many it judged as it should.
        tried: How many these are.
        asked: Its verdicts: a checkpoint for each model, and one for what it was tried on.
    """

    def __init__(self, call: CallContext, metric: Judged, decider: Decider, examples: Examples, digest: str) -> None:
        self.model = decider.model
        self.agreed = self.tried = 0
        self.asked: dict[str, tuple[Asking, Texts]] = {}
        self._call, self._metric, self._decider, self._examples, self._digest = call, metric, decider, examples, digest

    @classmethod
    async def prepare(cls, call: CallContext, metric: Judged, model: str, examples: Examples) -> Judge:
        """Choose the model, before anything is asked.

        Raises:
            OllamaMCPError: It cannot judge, or may not be given the examples.
        """
        decider = await prepare_decider(call, [ClosedQuestion(question=metric.rubric, name=_NAME)], model)
        await check_cloud_policy(call, decider.model, "cloud_batch", "cloud_files")
        is_cloud = parse_name(decider.model).is_cloud
        digest = "" if is_cloud else (await call.hosts.installed_model(decider.model)).digest
        return cls(call, metric, decider, examples, digest)

    @property
    def notes(self) -> list[str]:
        """What should be known about the verdicts."""
        return self._decider.notes

    async def try_out(self) -> None:
        """Find out how often it agrees with what the examples expect: their own answers, and those of others.

        Raises:
            OllamaMCPError: The host or the model fails.
        """
        examples = self._examples.examples[: 2 * _TRIED]
        texts: dict[int, str] = {}
        wanted: dict[int, bool] = {}
        for place, example in enumerate(examples[:_TRIED]):
            others = examples[place + 1 :] + examples[:place]
            other = next((one for one in others if normalised(one.expected) != normalised(example.expected)), None)
            for number, answer in ((2 * place + 1, example), (2 * place + 2, other)):
                if answer is not None:
                    texts[number], wanted[number] = _shown(example, as_text(answer.expected)), answer is example
        for number, record in (await self._verdicts("", texts)).items():
            if not record.kind:
                self.tried += 1
                self.agreed += self._metric.score(record.output, None).right is wanted[number]

    async def judge(self, contender: Contender, last: int) -> None:
        """Judge the answers of a model up to number `last`; the verdicts are its scores.

        Raises:
            OllamaMCPError: The host or the model fails.
        """
        texts: dict[int, str] = {}
        for number in range(1, last + 1):
            record = contender.asking.records.get(number)
            if record is not None and number not in contender.scores and not record.kind:
                texts[number] = _shown(self._examples.examples[number - 1], as_text(record.output))
        for number, record in (await self._verdicts(f"{contender.name} {contender.digest}", texts)).items():
            if not record.kind:
                contender.scores[number] = self._metric.score(record.output, None)

    async def _verdicts(self, name: str, texts: dict[int, str]) -> dict[int, Record]:
        """The records of verdicts on some texts."""
        if not texts:
            return {}
        if name not in self.asked:
            self.asked[name] = await self._begin(name)
        asking, source = self.asked[name]
        source.texts.update(texts)
        await asking.load(texts)
        await asking.ask(texts)
        await asking.finish_block()
        return {number: asking.records[number] for number in texts if number in asking.records}

    async def _begin(self, name: str) -> tuple[Asking, Texts]:
        source, expected = Texts({}), [as_text(example.expected) for example in self._examples.examples]
        parts = [name, self.model, self._digest, self._metric.rubric, self._examples.fingerprint, *expected]
        key = hashlib.sha256("\0".join(["judge", *parts]).encode(errors="surrogatepass")).hexdigest()
        about = {"model": self.model, "input": self._examples.label, "prompt": self._metric.rubric[:120]}
        run = await self._call.batches.open(key, total=None, metadata=about)
        progress = EvaluationProgress(0, Counter(), f"{self.model} (judge)")
        watch = begin_watch(self._call, self.model, self._digest)
        asking = Asking(
            self._call, DecisionProcessor(self._call, "", source, self._decider), source, run, watch, progress
        )
        await asking.find_kept()
        return asking, source


def _shown(example: Example, answer: str) -> str:
    given = InputRow(1, columns=example.columns).text
    return f"Input:\n{given}\n\nExpected answer:\n{as_text(example.expected)}\n\nAnswer:\n{answer}"
