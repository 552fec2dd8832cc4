"""Model names, `[host/][namespace/]model[:tag]`, parsed by the rules of Ollama's own parser.

Lookups are case-insensitive, the tag defaults to `latest`, the namespace to `library`, the host to
`registry.ollama.ai`. A trailing `:cloud` or a tag ending in `-cloud` names a model that runs on ollama.com.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ollama_mcp.errors import InvalidArgument

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_RULES = {
    "host": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"), "1 to 350 of A-Z a-z 0-9 _ . : -"),
    "namespace": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"), "1 to 80 of A-Z a-z 0-9 _ -, no dot"),
    "model": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"), "1 to 80 of A-Z a-z 0-9 _ . -"),
    "tag": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"), "1 to 80 of A-Z a-z 0-9 _ . -"),
}
_SCHEME = re.compile(r"(?i)^https?://")
_MAX_QUOTED = 80


# Without slots: cached properties need a dict, and `parse_name` keeps the few names of a process.
@dataclass(frozen=True)
class ModelName:
    """The parts of a model name, in the casing that was given."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def short(self) -> str:
        """The form that Ollama lists: `model:tag`, with namespace and host only where they are not the defaults."""
        name = f"{self.model}:{self.tag}"
        if self.host != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{name}"
        return name if self.namespace == DEFAULT_NAMESPACE else f"{self.namespace}/{name}"

    @property
    def full(self) -> str:
        """The form with all four parts."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @cached_property
    def key(self) -> str:
        """The full form in lower case, equal for all names of one model."""
        return self.full.lower()

    @cached_property
    def is_cloud(self) -> bool:
        """Whether the model runs on ollama.com instead of the host."""
        tag = self.tag.lower()
        return tag == "cloud" or tag.endswith("-cloud")

    def __str__(self) -> str:
        return self.short


# A call parses the same few names a dozen times; invalid names raise and are not cached.
@lru_cache(maxsize=1_024)
def parse_name(text: str, *, argument: str = "model") -> ModelName:
    """Parse a model name.

    Args:
        text: The name as a caller gave it; surrounding spaces are dropped, as Ollama does.
        argument: Name of the argument in the error text.

    Raises:
        InvalidArgument: Names the part and the rule that it breaks.
    """
    name = text.strip()
    if not name:
        raise InvalidArgument(f"{argument} is empty.", next_step="Call ollama_list_models for the installed names.")
    name = _SCHEME.sub("", name)
    slash, colon = name.rfind("/"), name.rfind(":")
    tag = DEFAULT_TAG
    if colon > slash:
        name, tag = name[:colon], name[colon + 1 :]
        # "gpt-oss:20b:cloud" is another spelling of "gpt-oss:20b-cloud".
        if tag.lower() == "cloud" and (inner := name.rfind(":")) > slash:
            name, tag = name[:inner], f"{name[inner + 1 :]}-cloud"
    parts = name.split("/")
    if len(parts) > 3:
        raise _invalid_name(text, argument, "it has more than three parts between slashes", "host/namespace/model:tag")
    model = parts[-1]
    namespace = parts[-2] if len(parts) > 1 else DEFAULT_NAMESPACE
    host = parts[-3] if len(parts) > 2 else DEFAULT_HOST
    for part, value in (("host", host), ("namespace", namespace), ("model", model), ("tag", tag)):
        pattern, rule = _RULES[part]
        if not pattern.fullmatch(value):
            raise _invalid_name(text, argument, f"its {part} {_quoted(value)} is not allowed", f"{part}: {rule}")
    return ModelName(host, namespace, model, tag)


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model to Ollama; invalid names are compared as they are."""
    return one == other or model_key(one) == model_key(other)


def model_key(name: str) -> str:
    """What all names of one model have in common; an invalid name has only itself."""
    try:
        return parse_name(name).key
    except InvalidArgument:
        return name


def _quoted(value: str) -> str:
    return repr(value if len(value) <= _MAX_QUOTED else value[:_MAX_QUOTED] + "…")


def _invalid_name(text: str, argument: str, why: str, rule: str) -> InvalidArgument:
    return InvalidArgument(
        f"{argument} {_quoted(text)} is not a model name: {why} ({rule}).",
        next_step="Names look like 'llama3.2:3b' or 'hf.co/user/repo:Q4_K_M'; ollama_list_models lists the installed.",
    )
