"""The cost of a search: seconds to load a corpus, milliseconds to search its vectors and words and fuse both, memory.

    python -m bench.search_index [--passages 10000 100000]

The vectors are random, the words as common as they are in English (Zipf's law); both are stored on disk, as after an
earlier call, and each size is measured in a process of its own. A search is compared with a plain NumPy product of the
same matrix and query, taken in turn with it; only the ratio is comparable between machines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.upload import resident_bytes
from ollama_mcp.store import Store
from ollama_mcp.work.search.corpus import Corpus
from ollama_mcp.work.search.fusion import MEANING, WORDS, fuse
from ollama_mcp.work.search.postings import SortedLists
from ollama_mcp.work.search.vector_index import VectorIndex, load_stored, nearest
from ollama_mcp.work.search.words import SPACE as WORD_SPACE
from ollama_mcp.work.search.words import pack_words, search_lists

DIMENSIONS, NEAREST, TRIES, VOCABULARY, LENGTH = 768, 100, 31, 50_000, 90
SPACE = "bench"
# A query of rare words, one with common ones, and the commonest of all.
RANKS = ((700, 3_000, 20_000), (0, 1, 2, 900, 15_000), (0,))
FORMAT = "{:>9} {:>7} {:>7} {:>10} {:>10} {:>7} {:>27} {:>10} {:>9}"


def spelled(rank: int) -> str:
    """The word of a rank, in letters."""
    return "".join(chr(ord("a") + int(digit)) for digit in f"{rank:05}") + "y"


QUERIES = tuple(" ".join(map(spelled, ranks)) for ranks in RANKS)


def corpus_of(passages: int) -> Corpus:
    """A corpus of different texts of a hundred words or so."""
    chance = random.Random(7)
    weights = [1 / (number + 2.7) for number in range(VOCABULARY)]
    drawn = iter(chance.choices(range(VOCABULARY), weights, k=passages * LENGTH))
    corpus = Corpus("", context_length=2_048, max_passages=passages)
    texts = [" ".join(spelled(next(drawn)) for _ in range(LENGTH)) for _ in range(passages)]
    corpus.add([], texts)
    return corpus


async def write(path: Path, passages: int) -> None:
    """Write a random vector and the words of each text to a store."""
    import numpy

    corpus, noise = corpus_of(passages), numpy.random.default_rng(7)

    def vector() -> bytes:
        numbers = noise.standard_normal(DIMENSIONS)
        return (numbers / numpy.linalg.norm(numbers)).astype("<f4").tobytes()

    store = Store(path, embeddings_mb=10_000)
    await store.embeddings.put(SPACE, ((hashed, vector()) for hashed in corpus.texts))
    start = time.perf_counter()
    lists = [(hashed, pack_words(text)) for hashed, text in corpus.texts.items()]
    print(f"words of {len(lists):,} passages listed in {time.perf_counter() - start:.2f} s", file=sys.stderr)
    await store.embeddings.put(WORD_SPACE, lists)
    await store.aclose()


def paired(*works: Callable[[], object]) -> list[float]:
    """The median milliseconds of each of some pieces of work, done in turn after a warm-up."""
    durations: list[list[float]] = [[] for _ in works]
    for number in range(TRIES + 1):
        for work, taken in zip(works, durations, strict=True):
            start = time.perf_counter()
            work()
            if number:
                taken.append(1000 * (time.perf_counter() - start))
    return [statistics.median(taken) for taken in durations]


async def measure(path: Path, passages: int) -> dict[str, float]:
    """Load and search a corpus whose vectors and words are in the store."""
    import numpy

    corpus = corpus_of(passages)
    corpus.cache_key(SPACE)
    store = Store(path, embeddings_mb=10_000)
    vectors, keys = VectorIndex(DIMENSIONS), list(corpus.texts)
    before, start = resident_bytes(), time.perf_counter()
    missing = await load_stored(store.embeddings, SPACE, corpus, keys, vectors)
    loaded, memory = time.perf_counter() - start, resident_bytes() - before
    start = time.perf_counter()
    found = await store.embeddings.get(WORD_SPACE, keys)
    postings = SortedLists([found.pop(key) for key in keys], keys)
    listed = time.perf_counter() - start
    await store.aclose()
    assert not missing
    query = bytes(vectors.data[: 4 * DIMENSIONS])
    matrix = numpy.frombuffer(vectors.data, numpy.dtype("<f4")).reshape(-1, DIMENSIONS)
    wanted = numpy.frombuffer(query, numpy.dtype("<f4"))

    def search(words: str) -> None:
        near = nearest(vectors, query, corpus, NEAREST)
        by_words = search_lists(postings, words, corpus, NEAREST).found
        assert fuse([by_words, near], {WORDS: 1.0, MEANING: 1.0})

    works = [lambda words=words: search_lists(postings, words, corpus, NEAREST) for words in QUERIES]
    bare, whole, *words = paired(lambda: matrix @ wanted, lambda: search(QUERIES[1]), *works)
    return {
        "loaded": loaded,
        "listed": listed,
        "bare": bare,
        "whole": whole,
        **{f"words{number}": one for number, one in enumerate(words)},
        "memory": memory,
        "postings": postings.size,
    }


def main() -> None:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asyncio.run(measure(options.measure, options.passages[0]))))
        return
    columns = ("load s", "words s", "search ms", "numpy ms", "ratio", "words ms rare/mixed/common", "vectors MB")
    print(FORMAT.format("passages", *columns, "words MB"))
    for passages in options.passages:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.sqlite3"
            asyncio.run(write(path, passages))
            command = [sys.executable, "-m", "bench.search_index", "--measure", str(path), "--passages", str(passages)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        times = [f"{found['loaded']:.2f}", f"{found['listed']:.2f}", f"{found['whole']:.1f}", f"{found['bare']:.1f}"]
        words = " / ".join(f"{found[f'words{number}']:.1f}" for number in range(len(QUERIES)))
        sizes = (f"{found[name] / 1e6:.0f}" for name in ("memory", "postings"))
        print(FORMAT.format(passages, *times, f"{found['whole'] / found['bare']:.2f}", words, *sizes))


if __name__ == "__main__":
    main()
