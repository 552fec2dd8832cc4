"""Asking for a letter, and reading how likely each letter was.

The options are shown as A, B, C, ..., one token each with every known tokenizer, and the model is asked for the letter
alone. The log-probabilities of that place then tell what it made of each option, in one token's time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import NoAnswer
from ollama_mcp.work.decide.verdicts import Verdict, averaged, normalised, weighed

if TYPE_CHECKING:
    from ollama_mcp.work.decide.asking import Asking, Subject
    from ollama_mcp.work.decide.questions import Question

# The most that `top_logprobs` gives (contract of the API).
TOP = 20
# Without I, which may be the beginning of a sentence about itself.
LETTERS = "ABCDEFGHJKLMNOPQRSTU"
# A space, a line break or a bracket may come before the letter.
PLACES = 4
# Below the first, the letters say nothing; below the second, they say little.
LEAST, DOUBTFUL = 0.1, 0.5
_AROUND = " \t\r\n\u2581\u0120\u010a\"'`*_()[]{}<>.:,#-"


@dataclass(frozen=True, slots=True)
class Letters:
    """Asks for letters.

    Args:
        asking: How the model is asked.
        keeps_still: Whether the model has to be told not to think.
        shuffle: Whether each question is asked with its options in several orders, and the mean taken.
        turn: Held while an input is read for the first time.
    """

    asking: Asking
    keeps_still: bool
    shuffle: bool
    turn: asyncio.Lock

    async def decide(self, subject: Subject, questions: Sequence[Question]) -> dict[str, Verdict]:
        """Verdicts by name, without the questions that the model did not answer by a letter.

        Raises:
            OllamaMCPError: The first that failed.
        """
        asks = [(question, order) for question in questions for order in question.orders(shuffle=self.shuffle)]
        found = await self._ask_all(subject, asks)
        verdicts: dict[str, Verdict] = {}
        for question in questions:
            shares = [share for (asked, _), share in zip(asks, found, strict=True) if asked is question]
            if known := [share for share in shares if share is not None]:
                verdicts[question.name] = _verdict(question, known, len(shares))
        return verdicts

    async def _ask_all(self, subject: Subject, asks: list[tuple[Question, list[int]]]) -> list[Shares | None]:
        if len(asks) < 2:
            return [await self._ask(subject, *ask) for ask in asks]
        try:
            # Another input in between would take the place of this one in Ollama's cache: its first question waits
            # until all of these are in the queue.
            async with asyncio.TaskGroup() as group, self.turn:
                first = await self._ask(subject, *asks[0])
                others = [group.create_task(self._ask(subject.again, *ask)) for ask in asks[1:]]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [first, *(task.result() for task in others)]

    async def _ask(self, subject: Subject, question: Question, order: list[int]) -> Shares | None:
        """What the model makes of the options, in the question's own order; None where it gave no letter."""
        options = list(question.options)
        asked = _as_list(question, [options[place] for place in order])
        sampling = {**(self.asking.options or {}), "temperature": 0, "num_predict": PLACES, "top_logprobs": TOP}
        think = False if self.keeps_still else None
        try:
            answer = await self.asking.chat(subject, asked, options=sampling, think=think, include=("thinking",))
        except NoAnswer:
            # It thought all the same, or wrote nothing but spaces.
            return None
        if answer.thinking:
            return None
        weights = read(answer.logprobs or [], LETTERS[: len(options)])
        inside = sum(weights.values())
        if inside < LEAST:
            return None
        shares = normalised(weights, LETTERS[: len(options)])
        # The cut after a few tokens is meant; other notes tell of the prompt.
        notes = [note for note in answer.notes if not note.startswith("Cut at num_predict=")]
        return Shares([shares[order.index(place)] for place in range(len(options))], inside, " ".join(notes))


@dataclass(frozen=True, slots=True)
class Shares:
    """Probabilities of options, how much of the model's probability they share, and what is to be known."""

    of: list[float]
    inside: float
    note: str = ""


def read(logprobs: Sequence[dict[str, Any]], letters: str) -> dict[str, float]:
    """How much probability lies on each letter, at the first place of the answer that holds a word.

    Args:
        logprobs: As Ollama gives them, a place after the other.
        letters: The letters that were offered.

    Returns:
        Probabilities by letter; what is missing in them lies on other tokens. Empty where nothing was given.
    """
    weights: dict[str, float] = {}
    for place in islice(logprobs, PLACES):
        weights = _at(place, letters)
        if sum(weights.values()) >= LEAST or str(place.get("token", "")).strip(_AROUND):
            break
    return weights


def _at(place: dict[str, Any], letters: str) -> dict[str, float]:
    tops: list[dict[str, Any]] = place.get("top_logprobs") or []
    # A token may stand in both; each counts once.
    chances = {str(top.get("token", "")): top.get("logprob") for top in [place, *tops]}
    weights: dict[str, float] = {}
    for token, logprob in chances.items():
        letter = token.strip(_AROUND).upper()
        if len(letter) == 1 and letter in letters and isinstance(logprob, int | float) and math.isfinite(logprob):
            weights[letter] = weights.get(letter, 0.0) + math.exp(min(0.0, logprob))
    return weights


def _verdict(question: Question, known: list[Shares], asked: int) -> Verdict:
    inside = sum(share.inside for share in known) / len(known)
    notes = list(dict.fromkeys(share.note for share in known if share.note))
    if len(known) < asked:
        notes.append(f"Only {len(known)} of {asked} orders were answered by a letter.")
    if inside < DOUBTFUL:
        notes.append(f"Only {round(100 * inside)} % of the model's probability lay on the options.")
    return weighed(question, averaged([share.of for share in known]), note=" ".join(notes))


def _as_list(question: Question, shown: Sequence[str]) -> str:
    meanings = question.options
    lines = [
        f"{letter}. {option}: {meanings[option]}" if meanings[option] else f"{letter}. {option}"
        for letter, option in zip(LETTERS, shown, strict=False)
    ]
    return "\n".join([question.question, *lines, "Answer with the letter of the best option and nothing else."])
