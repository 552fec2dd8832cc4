"""A language model small enough to read: trigrams over a short text, sampled as Ollama's options say.

It exists so that seed, temperature, num_predict, stop and logprobs do what they should, and says nothing of worth.
"""

from __future__ import annotations

import math
import random
import re
import zlib
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import accumulate, takewhile

from ollama_mcp.simulator.tokens import Token, pieces

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

_Pair = tuple[str, str]


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


@dataclass(frozen=True, slots=True)
class _Turns:
    """What may follow two words, likeliest first: the words, their tokens, and their shares, which sum to one."""

    words: tuple[str, ...]
    tokens: tuple[Token, ...]
    shares: tuple[float, ...]


def topic(prompt: str) -> str:
    """Up to four words of the prompt that say what it is about; "" if it has none."""
    words = [word for word in _WORD.findall(prompt[-2000:]) if not _UNTOPICAL.fullmatch(word)]
    return " ".join(list(dict.fromkeys(words))[-4:])


def speak(prompt: str, sampling: Sampling) -> Iterator[Token]:
    """The answer to a prompt, token by token; it ends by itself after a few sentences.

    A prompt that asks for "N words" gets about as many.
    """
    wanted = _WANTED.search(prompt)
    opener = _opener(topic(prompt))
    yield from opener
    least, spoken, sentences = int(wanted[1]) if wanted else 0, len(opener), 1
    for token in _sentences(random.Random(_seed(prompt, sampling)), sampling):
        spoken += 1
        yield token
        if token.text == ".":
            sentences += 1
            if sentences >= _SENTENCES and spoken >= least:
                return


@lru_cache(maxsize=1024)
def _opener(about: str) -> tuple[Token, ...]:
    text = f"This is a simulated answer about {about}." if about else "This is a simulated answer."
    return tuple(Token(piece, -0.05, ((piece, -0.05), (" A", -3.4), (" The", -4.1))) for piece in pieces(text))


def _seed(prompt: str, sampling: Sampling) -> int | None:
    if not sampling.repeatable:
        return None
    return zlib.crc32(f"{sampling.seed}\n{prompt}".encode("utf-8", "replace"))


def _sentences(chance: random.Random, sampling: Sampling) -> Iterator[Token]:
    """Sentences without end."""
    pair, used = _START, set[tuple[str, str, str]]()
    while True:
        turns = _turns(pair)
        if sampling.temperature > 0:
            weights = _weights(pair, sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p)
            # The last bound keeps a random number of almost one inside the list.
            chosen = bisect(weights, chance.random() * weights[-1], 0, len(weights) - 1)
        else:
            chosen = _unused(turns, used, pair, chance)
        if (word := turns.words[chosen]) == _END:
            pair = _START
        else:
            yield turns.tokens[chosen]
            pair = (pair[1], word)


def _unused(turns: _Turns, used: set[tuple[str, str, str]], pair: _Pair, chance: random.Random) -> int:
    """The likeliest turn that was not taken before, or the text would run in a circle."""
    # At the start of a sentence the prompt chooses, so that prompts differ in their answers.
    if pair == _START:
        return chance.randrange(len(turns.words))
    for index, word in enumerate(turns.words):
        if (*pair, word) not in used:
            used.add((*pair, word))
            return index
    return 0


@lru_cache(maxsize=8192)
def _weights(pair: _Pair, temperature: float, top_k: int, top_p: float, min_p: float) -> list[float]:
    """The running sum of the weights of the turns that the options leave, at least one."""
    shares = _turns(pair).shares
    kept = shares[:top_k] if top_k > 0 else shares
    before = [0.0, *accumulate(kept)]
    enough = sum(1 for _ in takewhile(lambda mass: mass < top_p, before))
    likely = sum(1 for share in kept if share >= min_p * kept[0])
    return list(accumulate(share ** (1 / temperature) for share in kept[: max(1, min(enough, likely))]))


@lru_cache(maxsize=8192)
def _turns(pair: _Pair) -> _Turns:
    after_two, after_one = _counts()
    # Two words say more than one; the one is there so that a rare pair has a choice at all.
    weights: dict[str, float] = {word: 0.25 * count for word, count in after_one[pair[1]].items()}
    for word, count in after_two[pair].items():
        weights[word] = weights.get(word, 0.0) + count
    total = sum(weights.values())
    words = tuple(sorted(weights, key=lambda word: (-weights[word], word)))
    shares = tuple(weights[word] / total for word in words)
    shown = tuple((_spaced(word), math.log(share)) for word, share in zip(words, shares, strict=True) if word != _END)
    tokens = tuple(Token(_spaced(word), math.log(share), shown) for word, share in zip(words, shares, strict=True))
    return _Turns(words, tokens, shares)


@lru_cache(maxsize=1)
def _counts() -> tuple[dict[_Pair, Counter[str]], dict[str, Counter[str]]]:
    """How often each word follows two others, and one other, in the corpus."""
    after_two: dict[_Pair, Counter[str]] = defaultdict(Counter)
    after_one: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in (files("ollama_mcp.simulator") / "corpus.txt").read_text(encoding="utf-8").splitlines():
        words = [*_START, *_TOKEN.findall(sentence), _END]
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            after_two[first, second][third] += 1
            after_one[second][third] += 1
    return after_two, after_one


def _spaced(word: str) -> str:
    return f" {word}" if word[0].isalnum() else word
