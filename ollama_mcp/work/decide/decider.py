"""Which way a model is asked, settled once for all inputs of a call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ollama_mcp.errors import InvalidArgument, Unsupported, UnsupportedByVersion
from ollama_mcp.formats.tokens import estimate_tokens
from ollama_mcp.hosts.cards import capabilities_of
from ollama_mcp.work.choosing import choose
from ollama_mcp.work.decide.asking import Asking, Subject
from ollama_mcp.work.decide.by_schema import decide_by_schema
from ollama_mcp.work.decide.letters import TOP, Letters
from ollama_mcp.work.decide.questions import Question, check_questions
from ollama_mcp.work.decide.system_one import SystemOne

if TYPE_CHECKING:
    from ollama_mcp.work.context import CallContext
    from ollama_mcp.work.decide.verdicts import Verdict

Way = Literal["decision", "logprobs", "schema"]


class Decider:
    """Answers the same questions about one input after the other; made by `prepare_decider`.

    Several inputs may be judged at once; the requests to Ollama stay within `work.parallel`.

    Attributes:
        model: The model that judges.
        way: decision (a decision model), logprobs (a chat model's probabilities of letters), or schema (its word).
    """

    def __init__(
        self, asking: Asking, way: Way, questions: Sequence[Question], letters: Letters, notes: list[str]
    ) -> None:
        self.model, self.way = asking.model, way
        self._asking, self._questions, self._letters = asking, questions, letters
        self._notes = notes
        self._without_letter = 0

    @property
    def notes(self) -> list[str]:
        """What should be known of all verdicts so far."""
        if not self._without_letter:
            return list(self._notes)
        return [
            *self._notes,
            f"No letter of an option came from {self.model} {self._without_letter:,} times; it was asked again by "
            "schema, without probabilities.",
        ]

    async def decide(self, text: str, images: Sequence[str] = (), *, from_file: bool = False) -> dict[str, Verdict]:
        """Judge one input.

        Args:
            text: The text; "" beside images.
            images: Images as base64, as `ollama_mcp.work.senses.see` gives them.
            from_file: Whether the text was read from a file, so that the agent never saw it.

        Returns:
            A verdict for each question, by its name, in the order of the questions.

        Raises:
            OllamaMCPError: The input is empty or does not fit, or the host or the answer was lacking.
        """
        if not text.strip() and not images:
            raise InvalidArgument("There is no text to judge.", next_step="Give a text with a word in it.")
        subject = Subject(text if text.strip() else "", images, estimate_tokens(text) if from_file else 0)
        if self.way == "decision":
            return await SystemOne(self._asking, self._letters.shuffle).decide(subject, self._questions)
        lettered = [one for one in self._questions if self.way == "logprobs" and len(one.options) <= TOP]
        verdicts = await self._letters.decide(subject, lettered)
        self._without_letter += len(lettered) - len(verdicts)
        if left := [one for one in self._questions if one.name not in verdicts]:
            verdicts |= await decide_by_schema(self._asking, subject.again if lettered else subject, left)
        return {one.name: verdicts[one.name] for one in self._questions}


async def prepare_decider(
    call: CallContext,
    questions: Sequence[Question],
    model: str,
    *,
    images: bool = False,
    shuffle: bool = False,
    options: dict[str, Any] | None = None,
    keep_alive: float | str | None = None,
) -> Decider:
    """Check the questions, choose a model and the way to ask it, before anything is asked.

    Args:
        call: The context of the call.
        questions: What is asked about each input.
        model: The model's name, or "".
        images: Whether images will be judged.
        shuffle: Whether to ask with the options in several orders and take the mean, against a model's liking for the
            first: up to five times the requests.
        options: Model options.
        keep_alive: As Ollama takes it.

    Raises:
        OllamaMCPError: A question is wrong, or the model cannot do it; nothing was asked.
    """
    check_questions(questions, call.settings.limits.questions)
    chosen = await choose(call, model, "decide", vision=images)
    if images:
        from ollama_mcp.work.senses import see

        # Without images it only says whether this model may be given some.
        await see(call, (), chosen.model, [])
    notes = [chosen.note] if chosen.note else []
    way, still = await _way(call, chosen.model, questions, notes, images=images)
    if options and way == "decision":
        notes.append("options were not used: decision models take none.")
    if shuffle and way == "schema":
        notes.append("shuffle changed nothing: there are no probabilities to take the mean of.")
    lanes = asyncio.Semaphore(call.settings.work.parallel)
    asking = Asking(call, chosen.model, options, call.keep_alive(keep_alive), lanes)
    return Decider(asking, way, questions, Letters(asking, still, shuffle, asyncio.Lock()), notes)


async def _way(
    call: CallContext, model: str, questions: Sequence[Question], notes: list[str], *, images: bool
) -> tuple[Way, bool]:
    """The way to ask, and whether the model has to be told not to think."""
    from ollama_mcp.api import Feature

    able = capabilities_of(await call.hosts.card(model))
    version = await call.client.server()
    if "decision" in able and version.supports(Feature.SYSTEMONE):
        if images and not version.supports(Feature.SYSTEMONE_IMAGES):
            raise UnsupportedByVersion(
                f"Decision models take images since Ollama {Feature.SYSTEMONE_IMAGES.since_text}; here is {version}.",
                model=model,
                next_step="Update Ollama, or name a chat model with 'vision'.",
            )
        return "decision", False
    if "completion" not in able:
        raise Unsupported(
            f"{model} can neither decide nor chat; it has: {', '.join(able) or 'no capability that is known'}.",
            model=model,
            detail="does not support completion",
        )
    if not version.supports(Feature.LOGPROBS):
        notes.append(
            f"Ollama {version} gives no log-probabilities ({Feature.LOGPROBS.since_text} does), so there are no "
            "probabilities."
        )
        return "schema", False
    levels = await call.hosts.thinking(model)
    if levels.thinks and levels.lowest is not False:
        notes.append(f"{model} cannot be kept from thinking, so it was asked by schema: there are no probabilities.")
        return "schema", False
    if large := [one.name for one in questions if len(one.options) > TOP]:
        notes.append(f"More than {TOP} options have no probabilities this way: {', '.join(large)}.")
        if len(large) == len(questions):
            return "schema", False
    return "logprobs", levels.thinks
