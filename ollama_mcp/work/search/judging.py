"""The best places judged by a model: one yes/no question about each, answered with a probability, within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.work.cloud_policy import check_cloud_policy
from ollama_mcp.work.decide import ClosedQuestion
from ollama_mcp.work.decide.decider import prepare_decider

if TYPE_CHECKING:
    from ollama_mcp.store import Store
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.decide.decider import Decider
    from ollama_mcp.work.search.corpus import Corpus
    from ollama_mcp.work.search.fusion import Found

# What a model is asked about; the rest keeps its order behind it.
MAX_JUDGED = 40
JUDGED = "judged"
_QUESTION = "Does the passage answer what is searched for, or is it about just that?"
# A model that cannot tell these apart cannot judge others: what is searched for, a passage that has it, and one that
# only shares words with it.
_KNOWN = (
    ("how to undo a commit", "git revert makes a new commit that reverses an old one.", "The committee met on Monday."),
    ("capital of France", "Paris is the seat of the French government.", "France won the match in the last minute."),
    ("why is the sky blue", "Air scatters short wavelengths of light most.", "She wore a blue dress under a grey sky."),
    ("boiling point of water", "At sea level water boils at 100 degrees Celsius.", "The water bill is due in May."),
    ("read a file in Python", "with open(path) as f: text = f.read()", "Pythons are snakes that live in Asia."),
    ("who wrote Hamlet", "Shakespeare finished the tragedy about 1600.", "The hamlet has forty inhabitants."),
    ("treatment of a cold", "Rest, drink a lot, and take something for the fever.", "It was cold in the theatre."),
    ("reset a password", "Follow the link in the mail to choose a new password.", "Reset the clock after a power cut."),
    ("price of the ticket", "A return to Rome costs 49 euros.", "The ticket machine stands beside the stairs."),
    ("when does the shop open", "We are there from nine to six.", "They want to open a second shop in Graz."),
)
# The share of pairs of a right and a wrong passage in which the right one has to get more.
_MIN_SEPARATION = 0.8

# By store as a server's identity, then by model: whether it told the known passages apart.
_able: WeakKeyDictionary[Store, dict[str, bool]] = WeakKeyDictionary()


async def judge(call: CallContext, query: str, found: Sequence[Found], corpus: Corpus) -> tuple[list[Found], list[str]]:
    """Put the best places into the order that a model gives them; where none can, they stay as they are.

    Returns:
        The places, and who judged them or why nobody did. Judged ones have the probability of "yes" as their score;
        those that the time did not suffice for come before what was judged to be wrong.

    Raises:
        OllamaMCPError: The settings keep the files from the model.
    """
    first, rest = list(found[:MAX_JUDGED]), list(found[MAX_JUDGED:])
    try:
        decider = await prepare_decider(call, [ClosedQuestion(question=_QUESTION, name=JUDGED)], "")
    except OllamaMCPError as error:
        return list(found), [f"Not judged: {error} {error.next_step}".strip()]
    if any(one.place.text_index < 0 for one in first):
        await check_cloud_policy(call, decider.model, "cloud_files")
    if decider.method == "schema":
        return list(found), [f"Not judged: {decider.model} gives no probabilities."]
    seconds = call.settings.work.judge_seconds
    async with call.progress.phase(f"judging {len(first)} places with {decider.model}"):
        if decider.method == "logprobs" and not await _is_able(call, decider):
            return list(found), [f"Not judged: {decider.model} cannot tell right passages from wrong ones."]
        texts = [(corpus.full_text(one.key), one.place.text_index < 0) for one in first]
        chances, failure = await _chances(decider, query, texts, seconds)
    judged = sum(chance is not None for chance in chances)
    if not judged:
        why = str(failure) if failure is not None else f"{seconds:g} s were not enough (setting work.judge_seconds)."
        return list(found), [f"Not judged: {why}"]
    left = "" if judged == len(first) else f"; for the others {failure or f'{seconds:g} s were not enough'}"
    notes = [f"Judged by {decider.model} ({decider.method}): the first {judged} of {len(found)} places{left}."]
    return [*_ordered(first, chances), *rest], notes


def _ordered(found: Sequence[Found], chances: Sequence[float | None]) -> list[Found]:
    def order(pair: tuple[Found, float | None]) -> tuple[int, float]:
        chance = pair[1]
        if chance is None:
            return 1, 0.0
        return (0 if chance >= 0.5 else 2), -chance

    # The sort is stable: what is judged alike stays in the order of the search.
    pairs = sorted(zip(found, chances, strict=True), key=order)
    return [
        one if chance is None else one._replace(score=chance, by=", ".join(filter(None, (one.by, JUDGED))))
        for one, chance in pairs
    ]


async def _is_able(call: CallContext, decider: Decider) -> bool:
    """Whether the model tells known passages apart, asked once for each model of a server."""
    known = _able.setdefault(call.store, {})
    identity = f"{decider.model} {(await call.hosts.installed_model(decider.model)).digest}"
    if identity not in known:
        asked = [(query, text) for query, right, wrong in _KNOWN for text in (right, wrong)]
        results = await asyncio.gather(*(_chance(decider, query, text) for query, text in asked))
        chances = [chance for chance in results if isinstance(chance, float)]
        if len(chances) < len(asked):
            return False
        right, wrong = chances[::2], chances[1::2]
        won = sum((one > other) + (one == other) / 2 for one in right for other in wrong)
        known[identity] = won >= _MIN_SEPARATION * len(right) * len(wrong)
    return known[identity]


async def _chances(
    decider: Decider, query: str, texts: Sequence[tuple[str, bool]], seconds: float
) -> tuple[list[float | None], OllamaMCPError | None]:
    """The probability of each text, None where there is none; and the last failure."""
    chances: list[float | None] = [None] * len(texts)
    failure: OllamaMCPError | None = None

    async def ask(number: int, text: str, from_file: bool) -> None:
        nonlocal failure
        answer = await _chance(decider, query, text, from_file=from_file)
        if isinstance(answer, OllamaMCPError):
            failure = answer
        else:
            chances[number] = answer

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for number, (text, from_file) in enumerate(texts):
                group.create_task(ask(number, text, from_file))
    except TimeoutError:
        # What is judged so far counts.
        pass
    return chances, failure


async def _chance(decider: Decider, query: str, text: str, *, from_file: bool = False) -> float | OllamaMCPError | None:
    subject = f"Searched for: {query.strip()}\n\nPassage:\n{text}"
    try:
        verdict = (await decider.decide(subject, from_file=from_file))[JUDGED]
    except OllamaMCPError as error:
        return error
    return None if verdict.probabilities is None else verdict.probabilities["yes"]
