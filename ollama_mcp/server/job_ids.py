"""The ids of jobs: they tell a reader which work they stand for, and nobody can guess them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, cast

_SLUG_CHARS = 40
_RANDOM_BYTES = 16
# In the order of preference; names of files and models only, since ids stand in logs and headers.
_FILES = ("input", "files", "prompts_file", "images")
_MODELS = ("model", "models")
# A pattern, or a name with an ending; whatever else stands in such an argument is a text or base64. Only with these
# endings a name has spaces: a sentence may end in "google.com".
_FILE = re.compile(
    r"[^\s*]{0,80}\*\S{0,80}|\w[\w.()-]{0,80}\.[A-Za-z]\w{0,4}|\w[\w .()-]{0,80}\.(csv|docx|jsonl?|md|pdf|txt)"
)
_LINES = re.compile(r":\d+(-\d+)?$")


def new_job_id(tool: str, arguments: Mapping[str, Any] | None) -> str:
    """A new id: tool, file or model, then 128 random bits, as in "batch-mails-csv-" and 32 hexadecimal digits.

    Over HTTP without sessions the id is all that a client is known by.
    """
    words = re.sub(r"[^a-z0-9]+", "-", f"{tool.removeprefix('ollama_')} {_about(arguments or {})}".lower())
    slug = words[:_SLUG_CHARS].strip("-")
    return f"{slug}-{secrets.token_hex(_RANDOM_BYTES)}"


def _about(arguments: Mapping[str, Any]) -> str:
    """The first file or model that the arguments name, or ""."""
    for name in _FILES:
        for value in _strings(arguments.get(name)):
            base = PurePosixPath(value.replace("\\", "/")).name if len(value) < 1_000 else ""
            if _FILE.fullmatch(base := _LINES.sub("", base)):
                return base
    models = (value for name in _MODELS for value in _strings(arguments.get(name)))
    return next((model.rpartition("/")[2] for model in models if model), "")


def _strings(value: object) -> list[str]:
    values = cast("list[object]", value) if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]
