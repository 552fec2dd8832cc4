"""Ollama's error texts and what each means: the first rule that fits decides.

Texts are taken from recorded answers of v0.5.7, v0.17.7 and v0.33 and from Ollama's source; matched by their stable
parts, since wordings change between versions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ollama_mcp.errors import (
    ApiError,
    BadRequest,
    Busy,
    ContextOverflow,
    Forbidden,
    ModelNotFound,
    ServerError,
    Unauthorized,
    Unsupported,
    UnsupportedByVersion,
)

_FAILED = "{place} failed at {endpoint}: it says {says}."
_REFUSED = "{place} refused {endpoint}: it says {says}."
_REGISTRY = ("/api/pull", "/api/push", "/api/create")


@dataclass(frozen=True, slots=True)
class Rule:
    """A text, the paths and statuses it is looked for at (all where empty), and the error that it means."""

    pattern: str
    kind: type[ApiError]
    message: str
    next_step: str
    paths: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()

    def applies(self, text: str, path: str, status: int | None) -> bool:
        """Whether the rule fits."""
        return (
            (not self.paths or path in self.paths)
            and (not self.statuses or status in self.statuses)
            and re.search(self.pattern, text, re.IGNORECASE) is not None
        )


RULES: tuple[Rule, ...] = (
    Rule(
        r"cloud is disabled",
        Forbidden,
        _REFUSED,
        "Use a local model, or switch the cloud on at that host (OLLAMA_NO_CLOUD).",
    ),
    Rule(
        r"requires a newer version of ollama|: 412:",
        UnsupportedByVersion,
        "{place} is too old for {model}: it says {says}.",
        "Update Ollama on that host, or take another model.",
    ),
    Rule(
        r"server busy|maximum pending requests|toomanyrequests|: 429:|rate limit",
        Busy,
        "{place} is busy: it says {says}.{wait}",
        "Wait a moment, then try again.",
    ),
    Rule(
        r"unauthori[sz]ed|access denied|not currently signed in|id_ed25519|: 40[13]:|\b401\b",
        Unauthorized,
        _REFUSED,
        "Run `ollama signin` on that machine; a push also needs the namespace to be yours.",
        _REGISTRY,
    ),
    Rule(
        r"<model store>: no such file",
        Unauthorized,
        "{place} has no key to sign the request to the registry with.",
        "Start Ollama once as its own user there (it makes the key), or run `ollama signin`.",
        ("/api/pull",),
    ),
    Rule(
        r"unauthori[sz]ed|not currently signed in",
        Unauthorized,
        "{place} is not signed in at ollama.com: it says {says}.",
        "Run `ollama signin` on that machine, or set OLLAMA_API_KEY for https://ollama.com.",
    ),
    Rule(
        r"manifest: file does not exist|manifest unknown|manifest: 404",
        ModelNotFound,
        "The registry has no model {model}; {place} says {says}.",
        "Check name and tag at https://ollama.com/library.",
        ("/api/pull", "/api/create"),
    ),
    Rule(
        r"<model store>.*no such file|file does not exist|couldn't retrieve manifest",
        ModelNotFound,
        "Model {model} is not installed on {place}, so it can't be pushed.",
        "Call ollama_list_models to see all.",
        ("/api/push",),
    ),
    Rule(
        r"<model store>.*no such file",
        BadRequest,
        "{place} does not have one of the files that make up {model}.",
        "Upload the file first; the digest must be that of the uploaded bytes.",
        ("/api/create",),
    ),
    Rule(
        r"model ['\"].*['\"] not found|try pulling it|model not found",
        ModelNotFound,
        "Model {model} is not installed on {place}.",
        "Call ollama_list_models to see all; ollama_pull_model(model={model}) downloads it, if the user wants that.",
    ),
    Rule(
        r"(?<!raw mode )does not support|not support multimodal|not supported for this model|image input is not"
        r"|not supported by system one|cannot run this remote model",
        Unsupported,
        "Model {model} on {place} can't do that: it says {says}.",
        "Call ollama_show_model for its capabilities, or take another model.",
    ),
    Rule(
        r"(?=.*context)(?=.*(exceed|too large|longer|too long))|input length exceeds|request body must not exceed",
        ContextOverflow,
        "The input is too long for {model} on {place}: it says {says}.",
        "Shorten it, raise options.num_ctx, or take a model with a longer context.",
    ),
    Rule(
        r"no longer supported|must be of type|of an array of strings|invalid (format|think value|json schema|model name"
        r"|duration|digest|input type|character|option)|think must be|illegal base64|unsupported quantization"
        r"|quantization is only supported|unknown (filetype|capability|renderer|type)|cannot unmarshal|template error"
        r"|^template:|missing unit in duration|raw mode does not|unqualified name|neither 'from' or 'files'"
        r"|not in gguf format|digest mismatch|json schema error",
        BadRequest,
        _REFUSED,
        "Correct the argument that it names.",
    ),
    Rule(
        r"out of memory|cudamalloc|requires more (system )?memory|(unable|failed) to allocate|insufficient memory",
        ServerError,
        "{place} has not enough memory for {model}: it says {says}.",
        "Take a smaller model, lower options.num_ctx, or unload others with ollama_unload_model.",
    ),
    Rule(
        r"no space left|disk quota|disk full",
        ServerError,
        "The disk of {place} is full: it says {says}.",
        "Free space there, for instance with ollama_delete_model, then try again.",
    ),
    Rule(
        r"token repeat limit",
        ServerError,
        "{model} on {place} repeated itself until Ollama stopped it: it says {says}.",
        "Raise options.temperature or options.repeat_penalty, or ask differently.",
    ),
    Rule(
        r"has terminated|unexpectedly stopped|error was encountered while running|incompatible with your version"
        r"|error loading model|timed out waiting for",
        ServerError,
        "The process that runs {model} on {place} died or did not start: it says {says}.",
        "Try once more; if it stays, take a smaller model or lower options.num_ctx, and read that Ollama's log.",
    ),
    Rule(
        r"dial tcp|no such host|connection refused|i/o timeout|tls:|x509:|blocked redirect|redirect target",
        ServerError,
        "{place} could not reach another server for {endpoint}: it says {says}.",
        "Check that machine's way to the internet or the registry; nothing is wrong with the arguments.",
    ),
    Rule(
        r"account unavailable",
        ServerError,
        "{place} can't reach ollama.com to see whom it is signed in as.",
        "Try again when that machine is online.",
    ),
)
