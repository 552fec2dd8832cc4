"""Verdicts: the answer to a question about one input, with probabilities and confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ollama_mcp.work.decide.questions import ClosedQuestion

DIGITS = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a question.

    Args:
        type: The question's.
        answer: A label, "yes" or "no", or the text of the likeliest level.
        probabilities: Of each option, by its text; None where the model gave none.
        confidence: 1 minus the entropy of the probabilities over the largest possible one: 1 where all lies on one
            option, 0 where all are alike. It is not the probability of being right.
        score: The expected level, from 0 to the number of levels minus 1.
        note: What should be known about this answer.
    """

    type: Literal["choice", "yes_no", "score"]
    answer: str
    probabilities: dict[str, float] | None = None
    confidence: float | None = None
    score: float | None = None
    note: str = ""

    @property
    def probability(self) -> float | None:
        """The probability of the answer."""
        return self.probabilities[self.answer] if self.probabilities is not None else None

    def as_json(self) -> dict[str, Any]:
        """The fields that have a value."""
        fields = {
            "answer": self.answer,
            "probabilities": self.probabilities,
            "confidence": self.confidence,
            "score": self.score,
            "note": self.note or None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def verdict_of(
    question: ClosedQuestion, probabilities: Sequence[float], *, confidence: float | None = None, note: str = ""
) -> Verdict:
    """The verdict for probabilities, which are in the order of the question's options and add up to 1.

    Args:
        question: The question.
        probabilities: The probabilities.
        confidence: The confidence that the server gave; None computes it.
        note: What should be known about the answer.
    """
    options = list(question.options)
    best = max(range(len(options)), key=probabilities.__getitem__)
    return Verdict(
        type=question.type,
        answer=options[best],
        probabilities={option: round(share, DIGITS) for option, share in zip(options, probabilities, strict=True)},
        confidence=round(confidence_of(probabilities) if confidence is None else confidence, DIGITS),
        score=_expected_level(probabilities) if question.type == "score" else None,
        note=note,
    )


def verdict_without_probabilities(question: ClosedQuestion, answer: str, note: str = "") -> Verdict:
    """The verdict of a model that gave no probabilities."""
    level = list(question.options).index(answer)
    return Verdict(question.type, answer, score=float(level) if question.type == "score" else None, note=note)


def confidence_of(probabilities: Sequence[float]) -> float:
    """1 minus the entropy over its largest possible value: 0 for even probabilities, 1 for a single option."""
    entropy = -sum(probability * math.log(probability) for probability in probabilities if probability > 0)
    # Rounding may bring even shares just below 0.
    return max(0.0, 1 - entropy / math.log(len(probabilities)))


def mean_of(lists: Sequence[Sequence[float]]) -> list[float]:
    """The mean of several lists of probabilities, option by option."""
    return [sum(column) / len(lists) for column in zip(*lists, strict=True)]


def normalized(weights: Mapping[str, float], options: Sequence[str]) -> list[float]:
    """The weights of the options, in their order, scaled to add up to 1; even shares where all are 0."""
    total = sum(weights.get(option, 0.0) for option in options)
    return [weights.get(option, 0.0) / total if total > 0 else 1 / len(options) for option in options]


def _expected_level(probabilities: Sequence[float]) -> float:
    return round(sum(level * probability for level, probability in enumerate(probabilities)), DIGITS)
