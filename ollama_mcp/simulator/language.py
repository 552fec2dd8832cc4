"""A language model small enough to read: trigrams over a short text, sampled as Ollama's options say.

It exists so that seed, temperature, num_predict, stop and logprobs do what they should, and says nothing of worth.
"""

from __future__ import annotations

import math
import random
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

_END = "\x03"
_START = ("\x02", "\x02")
_TOKEN = re.compile(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]")
_WORD = re.compile(r"[^\W\d_]{3,}")
_WANTED = re.compile(r"\b(\d{1,5}) words\b")
_SENTENCES = 3
_UNTOPICAL = re.compile(
    "about|above|after|again|answer|because|been|before|being|between|could|does|doing|down|during|each|explain|from|"
    "further|give|have|having|here|hers|itself|just|like|make|more|most|much|must|myself|once|only|other|over|please|"
    "same|should|some|such|tell|than|that|their|them|then|there|these|they|this|those|through|under|until|very|want|"
    "what|when|where|which|while|will|with|words?|would|write|yours?|the|and|for|are|was|why|how|who|you|can|did|has|"
    "had|not|but|any|all|out|one|its|our|her|his|she|say|use|describe",
    re.IGNORECASE,
)

Alternatives = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text, the logarithm of its probability, and the likeliest pieces in its place."""

    text: str
    logprob: float = 0.0
    alternatives: Alternatives = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """The options of a request that choose the next word."""

    temperature: float = 0.8
    seed: int = -1
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0

    @property
    def repeatable(self) -> bool:
        """Whether the same prompt gives the same text each time."""
        return self.temperature <= 0 or self.seed != -1


class _Trigrams:
    def __init__(self, text: str) -> None:
        self.after: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.after_one: dict[str, Counter[str]] = defaultdict(Counter)
        for sentence in text.splitlines():
            words = [*_START, *_TOKEN.findall(sentence), _END]
            for first, second, third in zip(words, words[1:], words[2:], strict=False):
                self.after[first, second][third] += 1
                self.after_one[second][third] += 1

    @lru_cache(maxsize=4096)  # noqa: B019  (the one instance lives as long as the process)
    def candidates(self, first: str, second: str) -> tuple[tuple[str, float], ...]:
        """What may follow, likeliest first, with probabilities that sum to one."""
        weights: dict[str, float] = {word: 0.25 * count for word, count in self.after_one[second].items()}
        for word, count in self.after[first, second].items():
            weights[word] = weights.get(word, 0.0) + count
        total = sum(weights.values())
        return tuple(
            sorted(((word, weight / total) for word, weight in weights.items()), key=lambda one: (-one[1], one[0]))
        )


@lru_cache(maxsize=1)
def _trigrams() -> _Trigrams:
    return _Trigrams((files(__package__) / "corpus.txt").read_text(encoding="utf-8"))


def topic(prompt: str) -> str:
    """Up to four words of the prompt that say what it is about; "" if it has none."""
    words = [word for word in _WORD.findall(prompt[-2000:]) if not _UNTOPICAL.fullmatch(word)]
    return " ".join(list(dict.fromkeys(words))[-4:])


def speak(prompt: str, sampling: Sampling) -> Iterator[Token]:
    """The answer to a prompt, token by token; it ends by itself after a few sentences.

    A prompt that asks for "N words" gets about as many.
    """
    wanted = _WANTED.search(prompt)
    least = int(wanted[1]) if wanted else 0
    about = topic(prompt)
    opener = f"This is a simulated answer about {about}." if about else "This is a simulated answer."
    spoken = 0
    for token in pieces(opener):
        spoken += 1
        yield Token(token, -0.05, ((token, -0.05), (" A", -3.4), (" The", -4.1)))
    sentences = 1
    for token in _sentences(random.Random(_seed(prompt, sampling)), sampling):
        spoken += 1
        yield token
        if token.text == ".":
            sentences += 1
            if sentences >= _SENTENCES and spoken >= least:
                return


def _seed(prompt: str, sampling: Sampling) -> int | None:
    if not sampling.repeatable:
        return None
    return zlib.crc32(f"{sampling.seed}\n{prompt}".encode("utf-8", "replace"))


def _sentences(chance: random.Random, sampling: Sampling) -> Iterator[Token]:
    """Sentences without end. Without chance a used turn is not used again, or the text would run in a circle."""
    model, used = _trigrams(), set[tuple[str, str, str]]()
    first, second = _START
    while True:
        candidates = model.candidates(first, second)
        if sampling.temperature <= 0:
            word, probability = _unused(candidates, used, first, second, chance)
        else:
            word, probability = _sampled(candidates, sampling, chance)
        if word == _END:
            first, second = _START
            continue
        yield Token(_spaced(word), math.log(probability), _alternatives(candidates))
        first, second = second, word


def _unused(
    candidates: Alternatives, used: set[tuple[str, str, str]], first: str, second: str, chance: random.Random
) -> tuple[str, float]:
    # The start of a sentence has no turn before it: the prompt chooses there, so that prompts differ in their answers.
    if (first, second) == _START:
        return chance.choice(candidates)
    for word, probability in candidates:
        if (first, second, word) not in used:
            used.add((first, second, word))
            return word, probability
    return candidates[0]


def _sampled(candidates: Alternatives, sampling: Sampling, chance: random.Random) -> tuple[str, float]:
    kept = candidates[: sampling.top_k] if sampling.top_k > 0 else candidates
    floor = sampling.min_p * kept[0][1]
    weights: list[float] = []
    mass = 0.0
    for _, probability in kept:
        if weights and (mass >= sampling.top_p or probability < floor):
            break
        mass += probability
        weights.append(probability ** (1 / sampling.temperature))
    return chance.choices(kept[: len(weights)], weights)[0]


def _alternatives(candidates: Alternatives) -> Alternatives:
    return tuple((_spaced(word), math.log(share)) for word, share in candidates if word != _END)


def _spaced(word: str) -> str:
    return f" {word}" if word[0].isalnum() else word


def pieces(text: str) -> list[str]:
    """A text cut as a tokenizer would: words with the space before them, punctuation alone."""
    return re.findall(r"\s*[^\W_]+|\s*[^\w\s]|\s*_|\s+", text)


def count_tokens(text: str) -> int:
    """About how many tokens a text has: one for four bytes, and never fewer than its words."""
    size = len(text.encode("utf-8", "replace")) if not text.isascii() else len(text)
    return max((size + 3) // 4, text.count(" ") + 1) if text else 0
