"""The ids of jobs tell a reader what the work is, and nothing that is not a file or a model."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ollama_mcp.server.job_ids import new_job_id

IDS: list[tuple[str, dict[str, Any], str]] = [
    ("ollama_batch", {"input": ["mails.csv"], "model": "qwen3:8b"}, "batch-mails-csv"),
    ("ollama_batch", {"input": ["/home/me/Post 2026/my mails.jsonl"]}, "batch-my-mails-jsonl"),
    ("ollama_batch", {"input": ["C:\\Users\\me\\rows.txt"]}, "batch-rows-txt"),
    ("ollama_batch", {"input": ["notes/*.md"]}, "batch-md"),
    ("ollama_search", {"files": ["src/a.py:10-80"], "query": "secret"}, "search-a-py"),
    ("ollama_search", {"files": ["a.py", "b.py"], "query": "secret"}, "search-a-py"),
    # A text is none of them, whatever it looks like.
    ("ollama_batch", {"input": ["Dear Anna,\nsee mails.csv"], "model": "qwen3:8b"}, "batch-qwen3-8b"),
    ("ollama_batch", {"input": ["My password is hunter2", "It is at google.com", "Call at 5.30", "5.30"]}, "batch"),
    ("ollama_decide", {"texts": ["a.txt"], "model": ""}, "decide"),
    ("ollama_decide", {"images": ["iVBORw0KGgo" * 1_000], "model": "llava"}, "decide-llava"),
    ("ollama_pull_model", {"model": "hf.co/user/Some_Model-GGUF:Q4_K_M"}, "pull-model-some-model-gguf-q4-k-m"),
    ("ollama_compare", {"models": ["llama3.2:3b", "qwen3:8b"], "prompt": "x"}, "compare-llama3-2-3b"),
    ("ollama_chat", {"prompt": "x", "model": None}, "chat"),
    ("ollama_chat", {"model": "x" * 300}, "chat-" + 35 * "x"),
    ("my_tool", {"model": "ünïcode/…"}, "my-tool"),
    ("ollama_embed", {"input": 7, "model": ["a"]}, "embed-a"),
]


@pytest.mark.parametrize(("tool", "arguments", "slug"), IDS)
def test_an_id_begins_with_tool_and_subject(tool: str, arguments: dict[str, Any], slug: str) -> None:
    found = new_job_id(tool, arguments)
    assert re.fullmatch(re.escape(slug) + "-[0-9a-f]{32}", found), found
    # It goes into a header as it is.
    assert re.fullmatch("[a-z0-9-]{1,73}", found)
    assert new_job_id(tool, arguments) != found
