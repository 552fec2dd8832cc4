"""A folder that is searched: the first search beside a plain loop of embedding its passages, and the second one.

    python -m bench.search_folder [--files 2000] [--ollama URL --model NAME]

Without `--ollama` the simulator answers, which takes no time for a vector: then the first ratio says the least that it
could be. Seconds are of this machine; the ratio is of two runs in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from mcp import Client

from ollama_mcp.api import ModelCard
from ollama_mcp.settings import Settings
from ollama_mcp.work.files import Document
from ollama_mcp.work.search.corpus import Corpus
from ollama_mcp.work.search.embedder import prefixes_of

CHUNK, PARALLEL, WORDS = 64, 4, 350


def write(folder: Path, files: int) -> list[Document]:
    """Write files of different words in some folders; the same as documents."""
    chance = random.Random(7)
    # Words of a language: of letters by chance a model makes many more tokens.
    docs = "\n".join(page.read_text(encoding="utf-8") for page in sorted(Path("docs").glob("*.md")))
    words = sorted(set(re.findall(r"\b[a-z]{3,9}\b", docs)))
    documents: list[Document] = []
    for number in range(files):
        path = folder / f"part{number % 40}" / f"file{number}.md"
        path.parent.mkdir(exist_ok=True)
        lines = [" ".join(chance.choices(words, k=12)) + "." for _ in range(WORDS // 12)]
        path.write_text(f"# File {number}\n\n" + "\n".join(lines) + "\n")
        os.utime(path, (1_700_000_000, 1_700_000_000.5))
        text = path.read_text()
        documents.append(Document(str(path), text, 1, text.count("\n"), len(text), "utf-8", "text"))
    return documents


async def embed_plainly(url: str, model: str, documents: list[Document]) -> float:
    """Seconds of sending all passages, as many at a time as the server does."""
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        card = ModelCard.model_validate_json((await client.post("/api/show", json={"model": model})).content)
        # Cut and prefixed as the server does it for this model, so that both send the same texts.
        prefix = prefixes_of(model, card).passage
        corpus = Corpus(prefix, context_length=card.context_length or 2_048, max_passages=1_000_000)
        corpus.add(documents, [])
        texts = [corpus.embedding_text(key) for key in corpus.texts]
        chunks = iter([texts[at : at + CHUNK] for at in range(0, len(texts), CHUNK)])

        async def work() -> None:
            for chunk in chunks:
                answer = await client.post("/api/embed", json={"model": model, "input": chunk, "truncate": False})
                assert len(answer.json()["embeddings"]) == len(chunk)

        await client.post("/api/embed", json={"model": model, "input": ["warm"]})
        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(PARALLEL)))
        return time.perf_counter() - start


async def main(files: int, url: str, model: str) -> None:
    """Print the times."""
    from ollama_mcp.server.app import OllamaServer
    from ollama_mcp.simulator import Simulator

    async with AsyncExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = root / "notes"
        folder.mkdir()
        documents = write(folder, files)
        if not url:
            url = (await stack.enter_async_context(Simulator(version="latest"))).url
        given = {"host": url, "read": {"text_folders": [str(root)]}, "store": {"path": str(root / "store.sqlite3")}}
        server = OllamaServer(Settings.model_validate({**given, "jobs": {"call_seconds": 3_600}}))
        client = await stack.enter_async_context(Client(server))

        async def search(query: str) -> float:
            start = time.perf_counter()
            asked = {"query": query, "files": [str(folder)], "model": model}
            result = await client.call_tool("ollama_search", asked)
            assert not result.is_error, result.content
            return time.perf_counter() - start

        plain = await embed_plainly(url, model, documents)
        first = await search("file 7")
        later = [await search(f"file {number}") for number in range(5)]
        print(f"{files:,} files: embedded plainly {plain:.2f} s, first search {first:.2f} s, ratio {plain / first:.2f}")
        print(f"second search {later[0]:.3f} s, the best of five {min(later):.3f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--ollama", default="")
    parser.add_argument("--model", default="nomic-embed-text")
    options = parser.parse_args()
    asyncio.run(main(options.files, options.ollama, options.model))
