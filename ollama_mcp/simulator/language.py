"""A trigram language model over a short text, sampled as Ollama's options say, and its tokens.

It exists so that seed, temperature, num_predict, stop and logprobs take effect; its text has no meaning.
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

_END = "\x03"
_START = ("\x02", "\x02")
_MIN_SENTENCES = 3
_CORPUS_TOKEN = re.compile(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]")
_TOKEN = re.compile(r"\s*[^\W_]+|\s*[^\w\s]|\s*_|\s+")
_WORD = re.compile(r"[^\W\d_]{3,}")
_WORD_COUNT_REQUEST = re.compile(r"\b(\d{1,5}) words\b")
_STOP_WORDS = re.compile(
    "about|above|after|again|answer|because|been|before|being|between|could|does|doing|down|during|each|explain|from|"
    "further|give|have|having|here|hers|itself|just|like|make|more|most|much|must|myself|once|only|other|over|please|"
    "same|should|some|such|tell|than|that|their|them|then|there|these|they|this|those|through|under|until|very|want|"
    "what|when|where|which|while|will|with|words?|would|write|yours?|the|and|for|are|was|why|how|who|you|can|did|has|"
    "had|not|but|any|all|out|one|its|our|her|his|she|say|use|describe",
    re.IGNORECASE,
)

_Context = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text, the logarithm of its probability, and the most likely alternatives with theirs."""

    text: str
    logprob: float = 0.0
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """The options of a request that choose the next word."""

    temperature: float = 0.8
    seed: int = -1
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0

    @property
    def is_deterministic(self) -> bool:
        """Whether the same prompt always gives the same text."""
        return self.temperature <= 0 or self.seed != -1


@dataclass(frozen=True, slots=True)
class _Continuations:
    """The words that may follow two others, most likely first, with their tokens and probabilities."""

    words: tuple[str, ...]
    tokens: tuple[Token, ...]
    probabilities: tuple[float, ...]


def tokenize(text: str) -> list[str]:
    """The text in pieces like those of a tokenizer: words with the space before them, punctuation separately."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """The approximate number of tokens: one for four bytes, and never fewer than words."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return max((size + 3) // 4, text.count(" ") + 1) if text else 0


def extract_topic(prompt: str) -> str:
    """Up to four words of the prompt that say what it is about; "" if it has none."""
    words = [word for word in _WORD.findall(prompt[-2000:]) if not _STOP_WORDS.fullmatch(word)]
    return " ".join(list(dict.fromkeys(words))[-4:])


def generate_tokens(prompt: str, sampling: SamplingOptions) -> Iterator[Token]:
    """The answer to a prompt, token by token, which ends after a few sentences.

    A prompt that asks for "N words" gets about as many.
    """
    request = _WORD_COUNT_REQUEST.search(prompt)
    opening = _opening(extract_topic(prompt))
    yield from opening
    min_tokens, count, sentences = int(request[1]) if request else 0, len(opening), 1
    for token in _sentences(random.Random(_seed(prompt, sampling)), sampling):
        count += 1
        yield token
        if token.text == ".":
            sentences += 1
            if sentences >= _MIN_SENTENCES and count >= min_tokens:
                return


@lru_cache(maxsize=1024)
def _opening(topic: str) -> tuple[Token, ...]:
    text = f"This is a simulated answer about {topic}." if topic else "This is a simulated answer."
    return tuple(Token(piece, -0.05, ((piece, -0.05), (" A", -3.4), (" The", -4.1))) for piece in tokenize(text))


def _seed(prompt: str, sampling: SamplingOptions) -> int | None:
    if not sampling.is_deterministic:
        return None
    return zlib.crc32(f"{sampling.seed}\n{prompt}".encode("utf-8", "replace"))


def _sentences(rng: random.Random, sampling: SamplingOptions) -> Iterator[Token]:
    """An endless sequence of sentences."""
    context, used = _START, set[tuple[str, str, str]]()
    while True:
        continuations = _continuations(context)
        if sampling.temperature > 0:
            weights = _cumulative_weights(context, sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p)
            # Rounding can make the product equal to the last weight; the upper bound keeps the index valid.
            chosen = bisect(weights, rng.random() * weights[-1], 0, len(weights) - 1)
        else:
            chosen = _first_unused(continuations, used, context, rng)
        if (word := continuations.words[chosen]) == _END:
            context = _START
        else:
            yield continuations.tokens[chosen]
            context = (context[1], word)


def _first_unused(
    continuations: _Continuations, used: set[tuple[str, str, str]], context: _Context, rng: random.Random
) -> int:
    """The most likely continuation that was not used before; always taking the first would repeat a loop."""
    # The random generator is seeded with the prompt, so that different prompts get different answers.
    if context == _START:
        return rng.randrange(len(continuations.words))
    for index, word in enumerate(continuations.words):
        if (*context, word) not in used:
            used.add((*context, word))
            return index
    return 0


@lru_cache(maxsize=8192)
def _cumulative_weights(context: _Context, temperature: float, top_k: int, top_p: float, min_p: float) -> list[float]:
    """Cumulative weights of the continuations that the options keep, at least one."""
    probabilities = _continuations(context).probabilities
    kept = probabilities[:top_k] if top_k > 0 else probabilities
    cumulative_before = [0.0, *accumulate(kept)]
    in_top_p = sum(1 for _ in takewhile(lambda mass: mass < top_p, cumulative_before))
    above_min_p = sum(1 for probability in kept if probability >= min_p * kept[0])
    kept = kept[: max(1, min(in_top_p, above_min_p))]
    return list(accumulate(probability ** (1 / temperature) for probability in kept))


@lru_cache(maxsize=8192)
def _continuations(context: _Context) -> _Continuations:
    after_two, after_one = _counts()
    # Bigrams, with a lower weight, give a rare pair of words more than one continuation.
    weights: dict[str, float] = {word: 0.25 * count for word, count in after_one[context[1]].items()}
    for word, count in after_two[context].items():
        weights[word] = weights.get(word, 0.0) + count
    total = sum(weights.values())
    words = tuple(sorted(weights, key=lambda word: (-weights[word], word)))
    probabilities = tuple(weights[word] / total for word in words)
    texts = [(_with_space(word), math.log(weights[word] / total)) for word in words]
    # The end of a sentence is not a token of the answer.
    alternatives = tuple(pair for word, pair in zip(words, texts, strict=True) if word != _END)
    tokens = tuple(Token(text, logprob, alternatives) for text, logprob in texts)
    return _Continuations(words, tokens, probabilities)


@lru_cache(maxsize=1)
def _counts() -> tuple[dict[_Context, Counter[str]], dict[str, Counter[str]]]:
    """How often each word follows two others, and one other, in the corpus."""
    after_two: dict[_Context, Counter[str]] = defaultdict(Counter)
    after_one: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in (files("ollama_mcp.simulator") / "corpus.txt").read_text(encoding="utf-8").splitlines():
        words = [*_START, *_CORPUS_TOKEN.findall(sentence), _END]
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            after_two[first, second][third] += 1
            after_one[second][third] += 1
    return after_two, after_one


def _with_space(word: str) -> str:
    return f" {word}" if word[0].isalnum() else word
