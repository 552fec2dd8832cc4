"""The words that embedding models were trained to see before a query and before a text that is searched.

Without them such a model finds noticeably worse, and Ollama adds none. Source: the models' own cards on Hugging Face.
What is not listed takes none, such as all-minilm, bge-m3, granite-embedding and paraphrase-multilingual.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ollama_mcp.api import ModelCard


class Prefixes(NamedTuple):
    """What goes before a query, and before a passage."""

    query: str = ""
    passage: str = ""


_SENTENCE = Prefixes("Represent this sentence for searching relevant passages: ")
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"

# The first that is found in a name counts, so what is more special stands before what is more general.
_FAMILIES = tuple(
    (re.compile(pattern), prefixes)
    for pattern, prefixes in (
        (r"nomic-embed-text|nomic-bert", Prefixes("search_query: ", "search_document: ")),
        (r"embedding-?gemma", Prefixes("task: search result | query: ", "title: none | text: ")),
        (r"qwen3-embedding", Prefixes(f"{_INSTRUCT}Query:")),
        (r"mxbai-embed-large", _SENTENCE),
        (r"snowflake-arctic-embed(2|.*v2)", Prefixes("query: ")),
        (r"snowflake-arctic-embed", _SENTENCE),
        (r"bge-(small|base|large)-zh", Prefixes("为这个句子生成表示以用于检索相关文章\uff1a")),
        (r"bge-(small|base|large)", _SENTENCE),
        (r"e5-mistral|e5-.*instruct|gte-qwen2", Prefixes(f"{_INSTRUCT}Query: ")),
        (r"(^|\W)(multilingual-)?e5-(small|base|large)", Prefixes("query: ", "passage: ")),
    )
)
# What a file says of itself, for models that go by a name of the user's own.
_NAMES = ("general.basename", "general.name", "general.architecture")


def prefixes_of(model: str, card: ModelCard) -> Prefixes:
    """Return the prefixes of a model, known by its name or by what its file says of itself."""
    for name in (model, *(str(card.model_info.get(key) or "") for key in _NAMES)):
        plain = re.sub(r"[\s_]", "-", name.lower())
        for pattern, prefixes in _FAMILIES:
            if pattern.search(plain):
                return prefixes
    return Prefixes()
