"""Questions to a chat model: by the log-probabilities of a letter, or by a JSON Schema.

By letters: the options are shown as A, B, C, ..., which are one token each in every known tokenizer, and the model is
asked for the letter alone. The log-probabilities of that token are the probabilities of the options. By schema: one
request for an object with all answers, without probabilities.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.errors import NoAnswer
from ollama_mcp.formats.comparison import comparable
from ollama_mcp.work.chat.result import CUT_AT_BUDGET
from ollama_mcp.work.decide.verdicts import Verdict, mean_of, normalized, verdict_of, verdict_without_probabilities

if TYPE_CHECKING:
    from ollama_mcp.work.decide.questions import ClosedQuestion
    from ollama_mcp.work.decide.session import ModelSession, Subject


# The largest `top_logprobs` (contract of the API).
MAX_TOP_LOGPROBS = 20
# Without I, with which the model may begin a sentence about itself.
LETTERS = "ABCDEFGHJKLMNOPQRSTU"
# Tokens to write: a space, a line break or a bracket may come before the letter.
MAX_POSITIONS = 4
# How much of the probability must lie on the letters to be an answer, and to be one without a note.
MIN_MASS, LOW_MASS = 0.1, 0.5
# What may stand around a letter within its token: spaces (also as two kinds of tokenizers spell them), marks, quotes.
_AROUND = " \t\r\n\u2581\u0120\u010a\"'`*_()[]{}<>.:,#-"


@dataclass(frozen=True, slots=True)
class LogprobDecider:
    """Answers questions by the log-probabilities of letters.

    Args:
        session: How the model is asked.
        disable_thinking: Whether the model has to be told not to think.
        shuffle: Whether each question is asked with its options in several orders, and the mean taken.
        prefill_lock: Held from the first question about an input until the others are queued.
    """

    session: ModelSession
    disable_thinking: bool
    shuffle: bool
    prefill_lock: asyncio.Lock

    async def decide(self, subject: Subject, questions: Sequence[ClosedQuestion]) -> dict[str, Verdict]:
        """Verdicts by name of the question; those that the model did not answer with a letter are missing.

        Raises:
            OllamaMCPError: The error of the first request that failed.
        """
        asks = [(question, order) for question in questions for order in question.orders(shuffle=self.shuffle)]
        results = await self._ask_all(subject, asks)
        verdicts: dict[str, Verdict] = {}
        for question in questions:
            own = [result for (asked, _), result in zip(asks, results, strict=True) if asked is question]
            if known := [result for result in own if result is not None]:
                verdicts[question.name] = _verdict(question, known, len(own))
        return verdicts

    async def _ask_all(
        self, subject: Subject, asks: list[tuple[ClosedQuestion, list[int]]]
    ) -> list[LetterResult | None]:
        if len(asks) < 2:
            return [await self._ask(subject, *ask) for ask in asks]
        try:
            # Another input in between would take the place of this one in Ollama's prompt cache: its first question
            # waits until all of these are queued.
            async with asyncio.TaskGroup() as group, self.prefill_lock:
                first = await self._ask(subject, *asks[0])
                others = [group.create_task(self._ask(subject.already_counted, *ask)) for ask in asks[1:]]
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return [first, *(task.result() for task in others)]

    async def _ask(self, subject: Subject, question: ClosedQuestion, order: list[int]) -> LetterResult | None:
        """The probabilities of the options, in the question's own order; None where the model gave no letter."""
        options = list(question.options)
        instruction = _letter_prompt(question, [options[place] for place in order])
        # The caller's options go along, but must not spoil the letter.
        sampling = {
            **(self.session.options or {}),
            "temperature": 0,
            "num_predict": MAX_POSITIONS,
            "top_logprobs": MAX_TOP_LOGPROBS,
        }
        think = False if self.disable_thinking else None
        try:
            answer = await self.session.chat(subject, instruction, options=sampling, think=think, include=("thinking",))
        except NoAnswer:
            # It was thinking nevertheless, or wrote nothing but spaces.
            return None
        if answer.thinking:
            return None
        weights = letter_probabilities(answer.logprobs or [], LETTERS[: len(options)])
        mass = sum(weights.values())
        if mass < MIN_MASS:
            return None
        probabilities = normalized(weights, LETTERS[: len(options)])
        # The cut after a few tokens is intended; other notes are about the prompt.
        notes = [note for note in answer.notes if not note.startswith(CUT_AT_BUDGET)]
        return LetterResult([probabilities[order.index(place)] for place in range(len(options))], mass, " ".join(notes))


@dataclass(frozen=True, slots=True)
class LetterResult:
    """What one request told about the options.

    Args:
        probabilities: Of each option; they add up to 1.
        mass: How much of the model's probability lay on the letters.
        note: What should be known about the answer.
    """

    probabilities: list[float]
    mass: float
    note: str = ""


def letter_probabilities(logprobs: Sequence[dict[str, Any]], letters: str) -> dict[str, float]:
    """The probability of each letter, at the first position of the answer that holds a word.

    Args:
        logprobs: As Ollama gives them, one position after another.
        letters: The letters that were offered.

    Returns:
        Probabilities by letter; the rest of 1 lies on other tokens. Empty where there are no log-probabilities.
    """
    weights: dict[str, float] = {}
    for position in islice(logprobs, MAX_POSITIONS):
        weights = _letters_at(position, letters)
        # A word that is not a letter ends the search: letters behind it are part of a sentence. Not so the closing tag,
        # which is left to models whose template opens the thinking.
        if sum(weights.values()) >= MIN_MASS or str(position.get("token", "")).strip(_AROUND) not in ("", "/think"):
            break
    return weights


def _letters_at(position: dict[str, Any], letters: str) -> dict[str, float]:
    tops: list[dict[str, Any]] = position.get("top_logprobs") or []
    # The chosen token is usually among the top ones as well; each counts once.
    logprob_of = {str(top.get("token", "")): top.get("logprob") for top in [position, *tops]}
    weights: dict[str, float] = {}
    for token, logprob in logprob_of.items():
        letter = comparable(token).strip(_AROUND).upper()
        if len(letter) == 1 and letter in letters and isinstance(logprob, int | float) and math.isfinite(logprob):
            weights[letter] = weights.get(letter, 0.0) + math.exp(min(0.0, logprob))
    return weights


def _verdict(question: ClosedQuestion, known: list[LetterResult], asked: int) -> Verdict:
    mass = sum(result.mass for result in known) / len(known)
    notes = list(dict.fromkeys(result.note for result in known if result.note))
    if len(known) < asked:
        notes.append(f"Only {len(known)} of {asked} orders were answered with a letter.")
    if mass < LOW_MASS:
        notes.append(f"Only {round(100 * mass)} % of the model's probability lay on the options.")
    return verdict_of(question, mean_of([result.probabilities for result in known]), note=" ".join(notes))


def _letter_prompt(question: ClosedQuestion, shown: Sequence[str]) -> str:
    meanings = question.options
    lines = [
        f"{letter}. {option}: {meanings[option]}" if meanings[option] else f"{letter}. {option}"
        for letter, option in zip(LETTERS, shown, strict=False)
    ]
    return "\n".join([question.question, *lines, "Answer with the letter of the best option and nothing else."])


async def decide_by_schema(
    session: ModelSession, subject: Subject, questions: Sequence[ClosedQuestion]
) -> dict[str, Verdict]:
    """Verdicts without probabilities, by name of the question, from one request.

    Raises:
        OllamaMCPError: The host or the answer failed.
    """
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {question.name: {"type": "string", "enum": list(question.options)} for question in questions},
        "required": [question.name for question in questions],
    }
    # Here the caller's temperature may stand: the schema holds the answer to the options.
    options = {"temperature": 0, **(session.options or {})}
    answer = await session.chat(subject, _schema_prompt(questions), options=options, format=schema)
    chosen, note = cast("dict[str, str]", answer.value), " ".join(answer.notes)
    return {
        question.name: verdict_without_probabilities(question, chosen[question.name], note) for question in questions
    }


def _schema_prompt(questions: Sequence[ClosedQuestion]) -> str:
    lines = ["Answer each of these questions with exactly one of its options, as a JSON object:"]
    for question in questions:
        lines.append(f"{question.name}: {question.question}")
        lines += [f"- {option}: {text}" if text else f"- {option}" for option, text in question.options.items()]
    return "\n".join(lines)
