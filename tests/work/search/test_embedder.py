"""The words before queries and passages, by the names under which people have the models."""

from __future__ import annotations

import pytest

from ollama_mcp.api import ModelCard
from ollama_mcp.work.search.embedder import Prefixes, prefixes_of

NOMIC = Prefixes("search_query: ", "search_document: ")
SENTENCE = Prefixes("Represent this sentence for searching relevant passages: ")
E5 = Prefixes("query: ", "passage: ")
INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"


@pytest.mark.parametrize(
    ("model", "prefixes"),
    [
        ("nomic-embed-text:latest", NOMIC),
        ("nomic-embed-text-v2-moe", NOMIC),
        ("hf.co/nomic-ai/nomic-embed-text-v1.5-GGUF:Q4_K_M", NOMIC),
        ("embeddinggemma:300m", Prefixes("task: search result | query: ", "title: none | text: ")),
        ("qwen3-embedding:0.6b", Prefixes(f"{INSTRUCT}Query:")),
        ("hf.co/Qwen/Qwen3-Embedding-4B-GGUF", Prefixes(f"{INSTRUCT}Query:")),
        ("mxbai-embed-large", SENTENCE),
        ("snowflake-arctic-embed:335m", SENTENCE),
        ("hf.co/Snowflake/snowflake-arctic-embed-m-v1.5", SENTENCE),
        ("snowflake-arctic-embed2", Prefixes("query: ")),
        ("hf.co/Casual-Autopsy/snowflake-arctic-embed-l-v2.0-gguf", Prefixes("query: ")),
        ("bge-large:335m", SENTENCE),
        ("quentinz/bge-large-zh-v1.5", Prefixes("为这个句子生成表示以用于检索相关文章\uff1a")),
        ("hf.co/intfloat/e5-large-v2-gguf", E5),
        ("jeffh/intfloat-multilingual-e5-large:f16", E5),
        ("jeffh/intfloat-multilingual-e5-large-instruct:f16", Prefixes(f"{INSTRUCT}Query: ")),
        ("all-minilm:33m", Prefixes()),
        ("bge-m3", Prefixes()),
        ("granite-embedding:30m", Prefixes()),
        ("paraphrase-multilingual", Prefixes()),
    ],
)
def test_a_family_is_known_by_its_name(model: str, prefixes: Prefixes) -> None:
    assert prefixes_of(model, ModelCard()) == prefixes


def test_a_model_by_another_name_is_known_by_what_its_file_says() -> None:
    named = ModelCard(model_info={"general.name": "Mxbai Embed Large v1", "general.architecture": "bert"})
    assert prefixes_of("work-search", named) == SENTENCE
    plain = ModelCard(model_info={"general.architecture": "nomic-bert", "general.name": None})
    assert prefixes_of("work-search", plain) == NOMIC
    assert prefixes_of("work-search", ModelCard(model_info={"general.architecture": "bert"})) == Prefixes()
