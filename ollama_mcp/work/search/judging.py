"""The best places judged by a model: one yes/no question about each, answered with a probability, within a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.work.cloud_policy import check_cloud_policy
from ollama_mcp.work.search.judges import Judge, find_judges

if TYPE_CHECKING:
    from ollama_mcp.store import Store
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.search.corpus import Corpus
    from ollama_mcp.work.search.fusion import Found

# What a model is asked about; the rest keeps its order behind it.
MAX_JUDGED = 40
JUDGED = "judged"
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

# Other known passages are another probe. Their order and the share count too.
_PROBE = f"judge {hashlib.sha256(repr((_KNOWN, _MIN_SEPARATION)).encode()).hexdigest()[:12]}"
# For all of them together, with loading the model.
_PROBE_SECONDS = 60.0

# By store as a server's identity: the models that were too slow for that, which its later searches do not wait for.
_too_slow: WeakKeyDictionary[Store, set[str]] = WeakKeyDictionary()


async def judge(call: CallContext, query: str, found: Sequence[Found], corpus: Corpus) -> tuple[list[Found], list[str]]:
    """Put the best places into the order that a model gives them; where none can, they stay as they are.

    Returns:
        The places, and who judged them or why nobody did. Judged ones have the probability of "yes" as their score;
        those that the time did not suffice for come before what was judged to be wrong.

    Raises:
        OllamaMCPError: The settings keep the files from the model.
    """
    first, rest = list(found[:MAX_JUDGED]), list(found[MAX_JUDGED:])
    refused: list[str] = []
    judges = find_judges(call)
    while True:
        try:
            one = await anext(judges, None)
        except OllamaMCPError as error:
            refused.append(f"Not judged: {error} {error.next_step}".strip())
            one = None
        if one is None:
            return list(found), refused
        if any(place.place.text_index < 0 for place in first):
            await check_cloud_policy(call, one.model, "cloud_files")
        if why := await _why_not(call, one):
            refused.append(f"Not judged by {one.model}: {why}.")
            continue
        ordered, notes = await _judged_by(call, one, query, first, corpus)
        return [*ordered, *rest], [*refused, *notes]


async def _why_not(call: CallContext, judge: Judge) -> str:
    """Why a model cannot judge, or ""."""
    if judge.method == "schema":
        return "it gives no probabilities"
    # Decision models are made for it, and probabilities are all they give.
    if judge.method == "decision":
        return ""
    slow = _too_slow.setdefault(call.store, set())
    too_slow = f"{_PROBE_SECONDS:g} s were not enough for {2 * len(_KNOWN)} short passages"
    if judge.model in slow:
        return too_slow
    async with call.progress.phase(f"finding out whether {judge.model} can judge"):
        try:
            able = await _is_able(call, judge)
        except TimeoutError:
            slow.add(judge.model)
            return too_slow
        except OllamaMCPError as error:
            return str(error).rstrip(".")
    return "" if able else "it cannot tell known right passages from wrong ones"


async def _judged_by(
    call: CallContext, judge: Judge, query: str, found: list[Found], corpus: Corpus
) -> tuple[list[Found], list[str]]:
    texts = [(corpus.full_text(one.key), one.place.text_index < 0) for one in found]
    seconds = call.settings.work.judge_seconds
    async with call.progress.phase(f"judging {len(found)} places with {judge.model}"):
        chances, failure = await _chances(judge, query, texts, seconds)
    judged = sum(chance is not None for chance in chances)
    if not judged:
        why = str(failure) if failure is not None else f"{seconds:g} s were not enough (setting work.judge_seconds)."
        return found, [f"Not judged: {why}"]
    left = "" if judged == len(found) else f"; for the others {failure or f'{seconds:g} s were not enough'}"
    how = f"{judge.model} ({judge.method})"
    return _ordered(found, chances), [f"Judged by {how}: {judged} of the first {len(found)} places{left}."]


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


async def _is_able(call: CallContext, judge: Judge) -> bool:
    """Whether a model tells known passages apart; asked once for each model.

    Raises:
        TimeoutError: It did not answer in time.
        OllamaMCPError: The host or the model failed.
    """
    name = parse_name(judge.model)
    # A cloud model has no digest here.
    digest = name.key if name.is_cloud else (await call.hosts.installed_model(judge.model)).digest
    digest = f"{judge.method} {digest}"
    if (passed := await call.store.probes.passed(_PROBE, digest)) is not None:
        return passed
    asked = [(query, text) for query, right, wrong in _KNOWN for text in (right, wrong)]
    try:
        async with asyncio.timeout(_PROBE_SECONDS), asyncio.TaskGroup() as group:
            tasks = [group.create_task(judge.chance(query, text)) for query, text in asked]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    # No answer is no judgement either way.
    chances = [0.5 if (chance := task.result()) is None else chance for task in tasks]
    right, wrong = chances[::2], chances[1::2]
    won = sum((one > other) + (one == other) / 2 for one in right for other in wrong)
    passed = won >= _MIN_SEPARATION * len(right) * len(wrong)
    await call.store.probes.keep(_PROBE, digest, passed=passed)
    return passed


async def _chances(
    judge: Judge, query: str, texts: Sequence[tuple[str, bool]], seconds: float
) -> tuple[list[float | None], OllamaMCPError | None]:
    """The probability of each text, None where there is none; and the last failure."""
    chances: list[float | None] = [None] * len(texts)
    failure: OllamaMCPError | None = None

    async def ask(number: int, text: str, from_file: bool) -> None:
        nonlocal failure
        try:
            chances[number] = await judge.chance(query, text, from_file=from_file)
        except OllamaMCPError as error:
            failure = error

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for number, (text, from_file) in enumerate(texts):
                group.create_task(ask(number, text, from_file))
    except TimeoutError:
        # What is judged so far counts.
        pass
    return chances, failure
