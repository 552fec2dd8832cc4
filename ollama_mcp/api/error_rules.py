"""Ollama's error texts and statuses and the error that each means: the first rule that matches decides.

Texts come from recorded responses of v0.5.7, v0.17.7 and v0.33 and from Ollama's source; they are matched by their
stable parts, since wordings change between versions.
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
    Interrupted,
    ModelNotFound,
    RunnerFailed,
    ServerError,
    Unauthorized,
    Unsupported,
    UnsupportedByVersion,
    UnusableVector,
)

# Of a long error text, its beginning and its end are searched: as many characters each.
_ENDS = 4_000
_FAILED = "{host} failed at {endpoint}: it says {quoted}."
_REFUSED = "{host} refused {endpoint}: it says {quoted}."
_REGISTRY = ("/api/pull", "/api/push", "/api/create")
_INFERENCE = ("/api/generate", "/api/chat", "/api/embed", "/api/embeddings", "/v1/systemone")
_DIED = "The process that runs {model} on {host} died or did not start: it says {quoted}."
_AFTER_DEATH = (
    "Try once more; if it persists, use a smaller model or lower options.num_ctx, and read that server's log."
)


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """An error text and the error that it means.

    Attributes:
        pattern: Regular expression, searched for without case.
        kind: Class of the error.
        message: Format string with host, endpoint, model, quoted and wait.
        next_step: Format string with model.
        paths: Paths that the rule is limited to; all where empty.
        statuses: HTTP statuses that the rule is limited to; all where empty.
    """

    pattern: str
    kind: type[ApiError]
    message: str
    next_step: str
    paths: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()

    def applies(self, text: str, path: str, status: int | None) -> bool:
        """Whether the rule matches."""
        return (
            (not self.paths or path in self.paths)
            and (not self.statuses or status in self.statuses)
            and re.search(self.pattern, text, re.IGNORECASE) is not None
        )


TEXT_RULES: tuple[ErrorRule, ...] = (
    ErrorRule(
        r"cloud is disabled",
        Forbidden,
        _REFUSED,
        "Use a local model, or enable the cloud on that host (OLLAMA_NO_CLOUD).",
    ),
    ErrorRule(
        # A registry's statuses arrive inside Ollama's text: ": 412:", ": 429:".
        r"requires a newer version of ollama|: 412:",
        UnsupportedByVersion,
        "{host} is too old for {model}: it says {quoted}.",
        "Update Ollama on that host, or use another model.",
    ),
    ErrorRule(
        r"server busy|maximum pending requests|toomanyrequests|: 429:|rate limit",
        Busy,
        "{host} is busy: it says {quoted}.{wait}",
        "Wait a moment, then try again.",
    ),
    ErrorRule(
        r"unauthori[sz]ed|access denied|not currently signed in|id_ed25519|: 40[13]:|\b401\b",
        Unauthorized,
        _REFUSED,
        "Run `ollama signin` on that machine; a push also needs a namespace that is yours.",
        _REGISTRY,
    ),
    ErrorRule(
        # The path of the key file, which redact_paths has already replaced.
        r"<model store>: no such file",
        Unauthorized,
        "{host} has no key to sign the request to the registry with.",
        "Start Ollama once as its own user there (it creates the key), or run `ollama signin`.",
        ("/api/pull",),
    ),
    ErrorRule(
        r"unauthori[sz]ed|not currently signed in",
        Unauthorized,
        "{host} is not signed in at ollama.com: it says {quoted}.",
        "Run `ollama signin` on that machine, or set OLLAMA_API_KEY for https://ollama.com.",
    ),
    ErrorRule(
        r"manifest: file does not exist|manifest unknown|manifest: 404",
        ModelNotFound,
        "The registry has no model {model}; {host} says {quoted}.",
        "Check name and tag at https://ollama.com/library.",
        ("/api/pull", "/api/create"),
    ),
    ErrorRule(
        r"<model store>.*no such file|file does not exist|couldn't retrieve manifest",
        ModelNotFound,
        "Model {model} is not installed on {host}, so it can't be pushed.",
        "Call ollama_list_models to see all.",
        ("/api/push",),
    ),
    ErrorRule(
        r"<model store>.*no such file",
        BadRequest,
        "{host} does not have one of the files that make up {model}.",
        "Upload the file first; its digest must match the uploaded bytes.",
        ("/api/create",),
    ),
    ErrorRule(
        r"pars\w+ grammar|initialize grammar|invalid JSON schema in format|JSON schema (error|conversion)",
        BadRequest,
        "{host} can't make a grammar of the format: it says {quoted}.",
        "Simplify the schema (fewer labels in enum, lower counts), or use format 'json' and name the fields in words.",
        ("/api/chat", "/api/generate"),
    ),
    ErrorRule(
        r"sharded gguf|does not support",
        Unsupported,
        "{host} can't pull {model}: it says {quoted}.",
        "Pull another tag or model. A GGUF that is split into several files has to be merged into one first.",
        ("/api/pull",),
    ),
    ErrorRule(
        r"file must be downloaded again",
        ServerError,
        "A file of {model} arrived damaged at {host}: it says {quoted}.",
        "Call ollama_pull_model(model={model}) again: what arrived well is kept.",
    ),
    ErrorRule(
        r"model ['\"].*['\"] not found|try pulling it|model not found",
        ModelNotFound,
        "Model {model} is not installed on {host}.",
        "Call ollama_list_models to see all; ollama_pull_model(model={model}) downloads it, if the user wants that.",
    ),
    ErrorRule(
        # "raw mode does not support ..." is about an argument; a rule below has it.
        r"(?<!raw mode )does not support|not support multimodal|not supported for this model|image input is not"
        r"|not supported by system one|cannot run this remote model",
        Unsupported,
        "Model {model} on {host} can't do that: it says {quoted}.",
        "Call ollama_show_model for its capabilities, or use another model.",
    ),
    ErrorRule(
        # "context deadline exceeded" is how Go says that time ran out. Tried once a line: from each place on, the time
        # would grow with the square of the text.
        r"(?m:^)(?!.*context (deadline|cancel))(?=.*context)(?=.*(exceed|too large|longer|too long))"
        r"|input length exceeds|request body must not exceed",
        ContextOverflow,
        "The input is too long for {model} on {host}: it says {quoted}.",
        "Shorten it, raise options.num_ctx, or use a model with a longer context.",
    ),
    ErrorRule(
        # Some models compute "not a number" for single texts; before v0.14.0 it fails in the JSON encoder.
        r"\bNaN\b|\bInf values|unsupported value: [-+]?Inf",
        UnusableVector,
        "{model} on {host} computed no usable vector: it says {quoted}.",
        "Change or leave out that text, or use another embedding model.",
        ("/api/embed", "/api/embeddings"),
    ),
    ErrorRule(
        r"no longer supported|must be of type|of an array of strings|invalid (format|think value|json schema|model name"
        r"|duration|digest|input type|character|option)|think must be|illegal base64|unsupported quantization"
        r"|quantization is only supported|unknown (filetype|capability|renderer|type)|cannot unmarshal|template error"
        r"|^template:|missing unit in duration|raw mode does not|unqualified name|neither 'from' or 'files'"
        r"|not in gguf format|digest mismatch|json schema error",
        BadRequest,
        _REFUSED,
        "Correct the argument that it names.",
    ),
    ErrorRule(
        r"out of memory|cudamalloc|requires more (system )?memory|(unable|failed) to allocate|insufficient memory",
        RunnerFailed,
        "{host} has not enough memory for {model}: it says {quoted}.",
        "Use a smaller model, lower options.num_ctx, or unload others with ollama_unload_model.",
    ),
    ErrorRule(
        r"no space left|disk quota|disk full",
        ServerError,
        "The disk of {host} is full: it says {quoted}.",
        "Free space there, for instance with ollama_delete_model, then try again.",
    ),
    ErrorRule(
        r"token repeat limit",
        ServerError,
        "{model} on {host} repeated itself until Ollama stopped it: it says {quoted}.",
        "Raise options.temperature or options.repeat_penalty, or rephrase the prompt.",
    ),
    ErrorRule(
        r"illegal instruction",
        RunnerFailed,
        "This build of Ollama does not fit the processor of {host}: it says {quoted}.",
        "Install an Ollama built for that machine's processor; no other model or option changes this.",
    ),
    ErrorRule(
        r"does not match the expected .*format",
        ServerError,
        "{model} on {host} wrote what Ollama could not read as an answer: it says {quoted}.",
        "Try again, without tools, think or format, or with a lower options.temperature.",
    ),
    ErrorRule(
        r"has terminated|unexpectedly stopped|error was encountered while running|incompatible with your version"
        r"|error loading model|(failed|unable) to load|timed out waiting for",
        RunnerFailed,
        _DIED,
        _AFTER_DEATH,
    ),
    ErrorRule(
        # How Ollama's own request to that process failed, on a port of the loopback interface (llm/server.go).
        r"no longer running|server startup failed|post predict|do (embedding|encode|decode|load) request|health resp:"
        r"|reading (llm|llama-server|embed) (error )?response|//127\.0\.0\.1:\d+/|^EOF$",
        RunnerFailed,
        _DIED,
        _AFTER_DEATH,
        _INFERENCE,
    ),
    # With 400 it is about the body of the request.
    ErrorRule(r"^unexpected EOF$", RunnerFailed, _DIED, _AFTER_DEATH, _INFERENCE, (500,)),
    ErrorRule(
        r"dial tcp|no such host|connection refused|i/o timeout|deadline exceeded|tls:|x509:|blocked redirect"
        r"|redirect target",
        ServerError,
        "{host} could not reach another server for {endpoint}: it says {quoted}.",
        "Check that machine's network route to the internet or the registry; the arguments are not at fault.",
    ),
    ErrorRule(
        r"account unavailable",
        ServerError,
        "{host} can't reach ollama.com to look up its account.",
        "Try again when that machine is online.",
    ),
)

# Any text: what a status means by itself.
STATUS_RULES = (
    ErrorRule(
        "",
        Unauthorized,
        _REFUSED,
        "Sign in on that machine with `ollama signin`, or set OLLAMA_API_KEY.",
        statuses=(401, 402),
    ),
    ErrorRule("", Forbidden, _REFUSED, "The host's own settings forbid it.", statuses=(403,)),
    ErrorRule(
        "",
        ModelNotFound,
        "{host} has no model {model}: it says {quoted}.",
        "Call ollama_list_models to see all.",
        statuses=(404,),
    ),
    ErrorRule("", ContextOverflow, _REFUSED, "Send less at once.", statuses=(413,)),
    ErrorRule(
        "", Busy, "{host} is busy: it says {quoted}.{wait}", "Wait a moment, then try again.", statuses=(429, 503)
    ),
    ErrorRule("", Unsupported, _REFUSED, "Call ollama_show_model to see what the model can do.", statuses=(501,)),
    ErrorRule("", Interrupted, "{host} gave up on {endpoint}: it says {quoted}.", "Try again.", statuses=(408, 499)),
    ErrorRule("", BadRequest, _REFUSED, "Correct the argument that it names.", statuses=tuple(range(400, 500))),
    ErrorRule("", ServerError, _FAILED, "Try again; if it persists, see the Ollama server's log."),
)


def find_rule(text: str, path: str, status: int | None) -> ErrorRule:
    """The rule of an error text at a path; that of its status where no text matches."""
    if len(text) > 2 * _ENDS:
        # What a host quotes in between, such as a prompt, means nothing, and must not hold up the event loop.
        text = f"{text[:_ENDS]}\n{text[-_ENDS:]}"
    return next(rule for rule in (*TEXT_RULES, *STATUS_RULES) if rule.applies(text, path, status))
