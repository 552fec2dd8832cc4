"""Asking a decision model: all questions in one request, and its probabilities as they are (POST /v1/systemone)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import BadAnswer, TooLong
from ollama_mcp.formats.names import parse_name
from ollama_mcp.work.decide.verdicts import Verdict, averaged, normalised, weighed

if TYPE_CHECKING:
    from ollama_mcp.api import DecisionRequest, DecisionResponse
    from ollama_mcp.api import Question as AskedQuestion
    from ollama_mcp.work.decide.asking import Asking, Subject
    from ollama_mcp.work.decide.questions import Question

# Contract of POST /v1/systemone.
MOST_BYTES, MOST_BYTES_WITH_IMAGES = 65_536, 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SystemOne:
    """Asks a decision model.

    Args:
        asking: How the model is asked.
        shuffle: Whether choices are asked with their labels in several orders, and the mean taken; levels have their
            order, and yes and no none.
    """

    asking: Asking
    shuffle: bool

    async def decide(self, subject: Subject, questions: Sequence[Question]) -> dict[str, Verdict]:
        """Verdicts by name.

        Raises:
            OllamaMCPError: It does not fit, or the host or the answer was lacking.
        """
        orders = {one.name: one.orders(shuffle=self.shuffle and one.type == "choice") for one in questions}
        found: dict[str, list[tuple[list[float], float | None]]] = {one.name: [] for one in questions}
        for turn in range(max(map(len, orders.values()))):
            asked = [one for one in questions if turn < len(orders[one.name])]
            response = await self._ask(
                subject if turn == 0 else subject.again,
                {one.name: _asked(one, orders[one.name][turn]) for one in asked},
            )
            for one in asked:
                found[one.name].append(_shares(one, response, self.asking.model))
        return {one.name: _verdict(one, found[one.name]) for one in questions}

    async def _ask(self, subject: Subject, questions: dict[str, AskedQuestion]) -> DecisionResponse:
        from ollama_mcp.api import DecisionRequest

        asking, call = self.asking, self.asking.call
        request = DecisionRequest(
            model=asking.model,
            state=subject.text or None,
            questions=questions,
            images=list(subject.images) or None,
            keep_alive=asking.keep_alive,
        )
        _check_size(request, subject)
        async with asking.lanes:
            start = time.monotonic()
            with call.in_use.using(asking.model):
                response = await call.client.systemone(request)
        call.store.usage.count(
            asking.model,
            cloud=parse_name(asking.model).is_cloud,
            prompt_tokens=response.usage.input_tokens,
            tokens=response.usage.output_tokens,
            file_tokens=subject.file_tokens,
            seconds=time.monotonic() - start,
        )
        return response


def _check_size(request: DecisionRequest, subject: Subject) -> None:
    """The server measures the body before anything else, so a long text is not even sent."""
    most = MOST_BYTES_WITH_IMAGES if subject.images else MOST_BYTES
    size = len(subject.text) + request.weight()
    # A text that is too long by itself is not encoded to learn that.
    if size <= most and (size := len(request.encode())) <= most:
        return
    raise TooLong(
        f"The text and the questions have {size:,} bytes, but {request.model} takes at most {most:,} (a limit of "
        "Ollama's decision models).",
        next_step="Give a part of it ('a.txt:1-200'), or name a chat model, which takes longer texts.",
    )


def _asked(question: Question, order: list[int]) -> AskedQuestion:
    from ollama_mcp.api import Question as AskedQuestion

    labels = list(question.options)
    criteria: dict[str, Any] | list[Any] | None = None
    if question.type == "choice":
        criteria = {labels[place]: question.options[labels[place]] or None for place in order}
    elif question.type == "score":
        criteria = [labels[place] for place in order]
    kind = "noul" if question.type == "yes_no" else question.type
    return AskedQuestion(type=kind, instructions=question.question, criteria=criteria)


def _shares(question: Question, response: DecisionResponse, model: str) -> tuple[list[float], float | None]:
    """Probabilities in the order of the options, and the server's confidence where it gives one."""
    from ollama_mcp.api import ChoiceAnswer, NoulAnswer

    options = list(question.options)
    answer = response.answers.get(question.name)
    if isinstance(answer, NoulAnswer) and question.type == "yes_no" and 0 <= answer.noul <= 1:
        return [answer.noul, 1 - answer.noul], None
    if answer is not None and not isinstance(answer, NoulAnswer) and answer.type == question.type:
        keys = options if isinstance(answer, ChoiceAnswer) else [str(place) for place in range(len(options))]
        if any(answer.probabilities.get(key, 0.0) > 0 for key in keys):
            return normalised(answer.probabilities, keys), answer.confidence
    raise BadAnswer(
        f"{model} gave no probabilities for the question {question.name[:60]!r}.",
        model=model,
        next_step="Try once more, or name a chat model.",
    )


def _verdict(question: Question, rounds: list[tuple[list[float], float | None]]) -> Verdict:
    if len(rounds) == 1:
        shares, confidence = rounds[0]
        return weighed(question, shares, confidence=confidence)
    return weighed(question, averaged([shares for shares, _ in rounds]))
