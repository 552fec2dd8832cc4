"""The cost of semantic search: seconds to load the vectors of a corpus, milliseconds to search it, memory.

    python -m bench.search_index [--passages 10000 100000]

The vectors are random and stored on disk, as after an earlier call; each size is measured in a process of its own. The
search is compared with a plain NumPy product of the same matrix and query; only the ratio is comparable between
machines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
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
from ollama_mcp.work.search.vector_index import VectorIndex, load_stored, nearest

DIMENSIONS, NEAREST, TRIES = 768, 10, 15
SPACE = "bench"
FORMAT = "{:>9} {:>9} {:>9} {:>10} {:>10} {:>7} {:>10} {:>10}"


def corpus_of(passages: int) -> Corpus:
    """A corpus of different short texts."""
    corpus = Corpus("", context_length=512, max_passages=passages)
    corpus.add([], [f"passage {number} of a corpus" for number in range(passages)])
    return corpus


async def write(path: Path, passages: int) -> None:
    """Write a random vector for each text to a store."""
    import numpy

    corpus, random = corpus_of(passages), numpy.random.default_rng(7)

    def vector() -> bytes:
        numbers = random.standard_normal(DIMENSIONS)
        return (numbers / numpy.linalg.norm(numbers)).astype("<f4").tobytes()

    store = Store(path)
    await store.embeddings.put(SPACE, ((hashed, vector()) for hashed in corpus.texts))
    await store.aclose()


def milliseconds(work: Callable[[], object]) -> float:
    """The median duration of some runs after a warm-up."""
    work()
    durations: list[float] = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        durations.append(1000 * (time.perf_counter() - start))
    return statistics.median(durations)


async def measure(path: Path, passages: int) -> dict[str, float]:
    """Load and search a corpus whose vectors are in the store."""
    import numpy

    start = time.perf_counter()
    corpus = corpus_of(passages)
    corpus.cache_key(SPACE)
    cut = time.perf_counter() - start
    before = resident_bytes()
    store = Store(path)
    vectors = VectorIndex(DIMENSIONS)
    start = time.perf_counter()
    missing = await load_stored(store.embeddings, SPACE, corpus, list(corpus.texts), vectors)
    loaded = time.perf_counter() - start
    memory = resident_bytes() - before
    await store.aclose()
    assert not missing
    query = bytes(vectors.data[: 4 * DIMENSIONS])
    (score, place, *_), *_ = nearest(vectors, query, corpus, NEAREST)
    assert (place.text_index, round(score, 3)) == (0, 1.0)
    matrix = numpy.frombuffer(vectors.data, numpy.dtype("<f4")).reshape(-1, DIMENSIONS)
    wanted = numpy.frombuffer(query, numpy.dtype("<f4"))
    bare = milliseconds(lambda: matrix @ wanted)
    searched = milliseconds(lambda: nearest(vectors, query, corpus, NEAREST))
    return {"cut": cut, "loaded": loaded, "bare": bare, "searched": searched, "memory": memory, "data": matrix.nbytes}


def main() -> None:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asyncio.run(measure(options.measure, options.passages[0]))))
        return
    print(FORMAT.format("passages", "cut s", "load s", "search ms", "numpy ms", "ratio", "memory MB", "vectors MB"))
    for passages in options.passages:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.sqlite3"
            asyncio.run(write(path, passages))
            command = [sys.executable, "-m", "bench.search_index", "--measure", str(path), "--passages", str(passages)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        times = [f"{found['cut']:.2f}", f"{found['loaded']:.2f}", f"{found['searched']:.1f}", f"{found['bare']:.1f}"]
        ratio = f"{found['searched'] / found['bare']:.2f}"
        print(FORMAT.format(passages, *times, ratio, f"{found['memory'] / 1e6:.0f}", f"{found['data'] / 1e6:.0f}"))


if __name__ == "__main__":
    main()
