"""What was decided about one input, and how sure the model was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ollama_mcp.work.decide.questions import Question

DIGITS = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a question.

    Args:
        type: The question's.
        answer: A label, "yes" or "no", or the text of the likeliest level.
        probabilities: Of each option, by its text; None where the model was asked by schema.
        confidence: 1 minus the entropy of the probabilities over the largest possible one: 1 where all lies on one
            option, 0 where all are alike. It is not the probability of being right.
        score: The expected level, from 0 to the number of levels minus 1.
        note: What should be known of this answer.
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
        """What there is, without what is empty."""
        fields = {
            "answer": self.answer,
            "probabilities": self.probabilities,
            "confidence": self.confidence,
            "score": self.score,
            "note": self.note or None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def weighed(question: Question, shares: Sequence[float], *, confidence: float | None = None, note: str = "") -> Verdict:
    """The verdict that probabilities speak, given in the order of the question's options; they add up to 1."""
    options = list(question.options)
    best = max(range(len(options)), key=shares.__getitem__)
    return Verdict(
        type=question.type,
        answer=options[best],
        probabilities={option: round(share, DIGITS) for option, share in zip(options, shares, strict=True)},
        confidence=round(sureness(shares) if confidence is None else confidence, DIGITS),
        score=_mean(shares) if question.type == "score" else None,
        note=note,
    )


def bare(question: Question, answer: str, note: str = "") -> Verdict:
    """The verdict of a model that gave no probabilities."""
    place = list(question.options).index(answer)
    return Verdict(question.type, answer, score=float(place) if question.type == "score" else None, note=note)


def sureness(shares: Sequence[float]) -> float:
    """1 minus the entropy over its largest possible value: 0 for even shares, 1 for a single one."""
    entropy = -sum(share * math.log(share) for share in shares if share > 0)
    return max(0.0, 1 - entropy / math.log(len(shares)))


def averaged(rounds: Sequence[Sequence[float]]) -> list[float]:
    """The mean of several lists of probabilities, which adds up to 1 as well."""
    return [sum(column) / len(rounds) for column in zip(*rounds, strict=True)]


def normalised(weights: Mapping[str, float], options: Sequence[str]) -> list[float]:
    """The weights of the options, in their order, made to add up to 1; even where all are 0."""
    total = sum(weights.get(option, 0.0) for option in options)
    return [weights.get(option, 0.0) / total if total > 0 else 1 / len(options) for option in options]


def _mean(shares: Sequence[float]) -> float:
    return round(sum(place * share for place, share in enumerate(shares)), DIGITS)
