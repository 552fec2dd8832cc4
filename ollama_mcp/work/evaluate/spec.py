"""The arguments of an evaluation, checked before any work."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.work.batch.spec import BatchSpec
from ollama_mcp.work.evaluate.intervals import Target

if TYPE_CHECKING:
    from ollama_mcp.work.decide import ClosedQuestion

MAX_MODELS = 20
# Below 0.5 even a coin may do; at 1 nothing can be shown by examples.
_LEAST, _MOST = 0.5, 0.999
# As a tag of a model: `model="profile:NAME"` has to pass for a name.
_PROFILE_NAME = re.compile(r"\w[\w.-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class EvaluationSpec:
    """What is to be evaluated; see the arguments of ollama_evaluate for each field.

    Args:
        examples: A .csv or .jsonl file with a column `expected`.
        models: Names; none stands for every installed model that can.
        prompt: As of a batch, and so are `questions`, `system`, `format` and `options`.
        metric: How an answer is compared, as `metrics.parse_metric` takes it; "" for what goes with the task.
        judge: The model of the metric "judge"; "" for the one that ollama_decide would use.
        goal: The accuracy to reach.
        confidence: How sure that has to be.
        profile: The name under which the outcome is kept; "" keeps none.
    """

    examples: str
    models: Sequence[str] = ()
    prompt: str = ""
    questions: Sequence[ClosedQuestion] = ()
    system: str = ""
    format: dict[str, Any] | str | None = None
    options: dict[str, Any] | None = None
    metric: str = ""
    judge: str = ""
    goal: float = 0.9
    confidence: float = 0.95
    profile: str = ""

    @property
    def target(self) -> Target:
        """What is to be told."""
        return Target(self.goal, self.confidence)

    def batch(self, model: str) -> BatchSpec:
        """The same work as a batch by one model."""
        return BatchSpec(
            input=[self.examples],
            prompt=self.prompt,
            questions=self.questions,
            system=self.system,
            format=self.format,
            options=self.options,
            model=model,
        )

    @property
    def task(self) -> dict[str, Any]:
        """What a profile keeps of the task, by the names that tools have for it."""
        members = {
            "examples": self.examples,
            "prompt": self.prompt,
            "system": self.system,
            "questions": [question.model_dump(exclude_unset=True) for question in self.questions],
            "format": self.format,
            "options": self.options,
        }
        return {name: value for name, value in members.items() if value}

    @property
    def prompt_hash(self) -> str:
        """Stands for what a model is asked."""
        asked = {name: value for name, value in self.task.items() if name not in ("examples", "options")}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def filled(self, task: Mapping[str, Any]) -> EvaluationSpec:
        """The same with the task that a profile keeps, where none is given."""
        from ollama_mcp.work.decide import ClosedQuestion

        if self.prompt or self.questions:
            return self
        questions = [ClosedQuestion.model_validate(question) for question in task.get("questions", ())]
        return replace(
            self,
            prompt=task.get("prompt", ""),
            system=self.system or task.get("system", ""),
            questions=questions,
            format=self.format or task.get("format"),
            options=self.options or task.get("options"),
        )

    def validate(self) -> None:
        """Check that the arguments fit together.

        Raises:
            InvalidArgument: They do not; it says which, and what to give.
        """
        for name, value in (("goal", self.goal), ("confidence", self.confidence)):
            if not _LEAST <= value <= _MOST:
                raise InvalidArgument(
                    f"{name} is {value:g}.", next_step=f"Give a share from {_LEAST:g} to {_MOST:g}, such as 0.9."
                )
        if len(self.models) > MAX_MODELS:
            raise InvalidArgument(
                f"models names {len(self.models)}, at most {MAX_MODELS} are taken.", next_step="Name fewer."
            )
        seen: set[str] = set()
        for name in self.models:
            key = parse_name(name, argument="models").key
            if key in seen:
                raise InvalidArgument(f"models names {name!r} twice.", next_step="Name each model once.")
            seen.add(key)
        if not (self.prompt or self.questions):
            raise InvalidArgument(
                "There is nothing to ask about the examples.",
                next_step="Give prompt, a template such as 'Which team? {text}', or questions with labels.",
            )
        if self.profile and not _PROFILE_NAME.fullmatch(self.profile):
            raise InvalidArgument(
                f"profile is {self.profile[:60]!r}.",
                next_step="Give a name of letters, digits, '_', '-' and '.', such as 'tickets'.",
            )
        if self.questions and self.format:
            raise InvalidArgument("format can only be used with prompt.", next_step="Leave it out.")
        self.batch("").validate()
