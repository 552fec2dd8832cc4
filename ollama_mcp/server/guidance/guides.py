"""The guides: Markdown generated from the tables that the code itself uses, so that they cannot differ from it.

What no table holds is text here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.errors import Kind, OllamaMCPError
from ollama_mcp.formats import json_schema
from ollama_mcp.formats.options import BLOCKED_OPTIONS, OPTIONS

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings

# Ollama's native endpoints: method, path, tool, and the version that has it or another note.
ENDPOINTS = (
    ("POST", "/api/chat", "ollama_chat", ""),
    ("POST", "/api/generate", "ollama_generate", ""),
    ("POST", "/api/embed", "ollama_embed", "v0.3"),
    ("POST", "/api/embeddings", "ollama_embeddings", ""),
    ("GET", "/api/tags", "ollama_list_models", ""),
    ("POST", "/api/show", "ollama_show_model", ""),
    ("GET", "/api/ps", "ollama_list_running", "v0.1.33"),
    ("POST", "/api/generate", "ollama_load_model", "with an empty prompt"),
    ("POST", "/api/generate", "ollama_unload_model", "with keep_alive 0"),
    ("POST", "/api/pull", "ollama_pull_model", ""),
    ("POST", "/api/create", "ollama_create_model", "JSON fields: v0.5.5"),
    ("POST", "/api/copy", "ollama_copy_model", ""),
    ("DELETE", "/api/delete", "ollama_delete_model", ""),
    ("POST", "/api/push", "ollama_push_model", ""),
    ("HEAD", "/api/blobs/:digest", "ollama_check_blob", ""),
    ("POST", "/api/blobs/:digest", "ollama_push_blob", ""),
    ("GET", "/api/version", "ollama_status", ""),
    ("GET", "/api/status", "ollama_status", "v0.16.2"),
    ("POST", "/api/experimental/web_search", "ollama_web_search", "through a signed-in Ollama"),
    ("POST", "/api/experimental/web_fetch", "ollama_web_fetch", "through a signed-in Ollama"),
)

# What to do about each kind of error. The error itself says it with names and numbers.
REMEDIES: dict[Kind, str] = {
    "unreachable": "Start Ollama, or set its address (OLLAMA_HOST); ollama_status shows when it answers.",
    "timeout": "Raise the setting that the error names, or use a smaller model.",
    "interrupted": "The last block is the partial answer. Call again; a download resumes.",
    "bad_answer": "Something other than Ollama may listen there; with a format, simplify the schema.",
    "model_not_found": "Use one of the closest names, or download the model if the user agrees.",
    "unsupported": "Use an installed model that has the capability; the error names some.",
    "unsupported_by_version": "The user can update Ollama; the error names the version that has it.",
    "invalid_argument": "Correct the argument that the error names; it says what is allowed.",
    "not_allowed": "Only the user can change the setting that the error names.",
    "needs_confirmation": "Tell the user what would happen; after a yes, repeat the call with confirm=true.",
    "declined": "The form was declined, dismissed or not answered: the error says which, and what helps.",
    "too_long": "Omit options.num_ctx, set too_long='split', send less, or use a model with a longer context.",
    "unauthorized": "The user has to sign in (`ollama signin`) or set a key.",
    "forbidden": "The host refuses this server's address or its cloud is off; only its owner can change that.",
    "busy": "Wait as long as the error says, then call again.",
    "server_error": "Try once more; then look at Ollama's own log.",
    "no_answer": "Raise options.num_predict, or set think=false.",
    "disk": "Check path, permissions and free space; the same call resumes a batch.",
    "internal": "Try once more; if it fails again, report it with the server's stderr log.",
}

STRUCTURED_OUTPUT = """\
# Structured output

Set `format` to a JSON Schema (or 'json' for any object). The answer is returned as a checked `value` in
structuredContent; what does not fit the schema is an error with the unchanged text.

- Name the fields in the prompt too: the schema constrains the model, it does not tell it what to write.
- Few fields, plain names, `enum` for classes, `required` for all that must be there. Small models fail at deep nesting.
- Allow for missing data, by an enum value 'unknown' or an optional field; else the model invents something.
- `options={"temperature": 0}` for repeatable answers; `num_predict` must leave room for the whole JSON.
- With a format, thinking is off (or at its lowest level) unless `think` says otherwise.
- Over files: `files`; cite=true adds quotes that are looked up there, and `value` still fits your schema.
- For a label, a score or yes/no, ollama_decide needs no schema and gives probabilities. For many rows or files,
  ollama_batch takes the same `format`; each row's value is checked.

```
ollama_chat(model="llama3.2:3b", prompt="Sender and total of this invoice: ...", options={"temperature": 0},
  format={"type": "object", "properties": {"sender": {"type": "string"}, "total": {"type": "number"}},
          "required": ["sender", "total"]})
```"""

VISION = """\
# Images

`images` of ollama_chat, ollama_generate, ollama_decide and ollama_compare takes paths, base64, data: URIs and, where
the settings allow it, addresses. The model needs the capability 'vision'
(`ollama_list_models(capability="vision")`).

- Files are read by the server: give paths, not bytes, so that the image does not pass through you.
- A folder of images: ollama_batch with a glob as `input`; sorting or checking them: ollama_decide.
- JPEG, PNG, WebP, GIF (first frame), BMP, TIFF, ICO and, where installed, HEIC; turned upright, metadata dropped.
- One question per call works best; small text needs a crop at full size instead of the whole page.
- Models guess what they cannot see: ask for 'unreadable' where something cannot be read, and check numbers.
- Audio (WAV, MP3) goes into `audio`, where the settings offer it, for a model with the capability 'audio'."""

THINKING = """\
# Thinking

A model with the capability 'thinking' first thinks, then answers. `think` takes true, false or a level ('low',
'medium', 'high', 'max') that the model has; `ollama_show_model` lists its thinking levels.

- If omitted, the model decides: most think. With a `format` it is off, or at its lowest level if it cannot be off.
- Thinking costs tokens and time: false for extraction, classification and rewriting, true for planning and hard
  questions.
- `num_predict` counts thinking too. An answer of thinking alone is the error no_answer: raise it, or set think=false.
- `include=["thinking"]` returns the thinking. It is not an answer, and may be wrong where the answer is right.
- In a tool loop, send the assistant's `thinking` back in `messages`."""

MODELFILE = """\
# Modelfile

A model of your own is an installed one with a system prompt, options, a template or examples built in. Each Modelfile
instruction is an argument of ollama_create_model; a whole Modelfile goes into `modelfile`, as text or path. A model
based on an installed one copies no weights, so creating it takes a second and almost no disk space."""

# Instruction, the argument that replaces it, its meaning.
INSTRUCTIONS = (
    ("FROM", "`from`, `path` or `files`", "an installed model, files to upload, or files already on the host"),
    ("SYSTEM", "`system`", "system prompt, used where a call has none"),
    ("PARAMETER", "`parameters`", "options built in; options of a call override them"),
    ("TEMPLATE", "`template`", "prompt template in Go's notation; omit it to keep the model's own"),
    ("MESSAGE", "`messages`", "example turns before every conversation"),
    ("ADAPTER", "`adapters`", "LoRA files already on the host"),
    ("LICENSE", "`license`", "license texts"),
    ("RENDERER, PARSER, REQUIRES, CAPABILITY", "`more`", "rare fields of newer versions"),
)
WORTH_BUILDING_IN = ("temperature", "num_ctx", "stop", "top_p", "repeat_penalty")

MODELFILE_EXAMPLE = """\
```
ollama_create_model(model="reviewer", from="llama3.2:3b", system="You review Python code. List defects only.",
  parameters={"temperature": 0.2, "num_ctx": 16384})
```

`ollama_show_model(model="reviewer", include=["modelfile"])` shows the result. An existing name is overwritten only
after a confirmation."""


@dataclass(frozen=True, slots=True)
class Guide:
    """A guide; `render` returns its Markdown under the given settings."""

    title: str
    description: str
    render: Callable[[Settings], str]


def options_guide(settings: Settings) -> str:
    """Every model option."""
    rows = (
        (f"`{option.name}`", option.allowed, option.default, "yes" if option.reloads else "", option.meaning)
        for option in OPTIONS.values()
    )
    request_fields = (
        (
            "`truncate`",
            "true or false",
            "true",
            "",
            "Drop the oldest turns of a prompt that does not fit; false refuses it.",
        ),
        ("`shift`", "true or false", "true", "", "Forget the oldest tokens when an answer fills the context."),
        ("`top_logprobs`", "a whole number from 0 to 20", "0", "", "Alternatives per token; includes logprobs."),
    )
    default = settings.defaults.options
    context = (
        "Leave num_ctx out: a prompt is measured before it is sent, and the context is chosen to fit, at most "
        f"{settings.limits.num_ctx:,} tokens (limits.num_ctx); what cannot fit is the error too_long, and a prompt "
        "that comes near the limit is sent with truncate=false where Ollama supports it (v0.12.6). A num_ctx or "
        "truncate that you set is used unchanged."
    )
    return "\n\n".join(
        [
            "# Model options",
            "They go into the argument `options` of ollama_chat and ollama_generate, override those built into a "
            "model, and are checked before anything is sent. Changing an option marked reload makes Ollama reload "
            "the model.",
            context,
            _markdown_table(("option", "takes", "default", "reload", "meaning"), [*rows, *request_fields]),
            "Never sent: " + "; ".join(f"`{name}` ({why})" for name, why in BLOCKED_OPTIONS.items()) + ".",
            f"Sent by default with every call: `{default}`." if default else "The settings add none by default.",
        ]
    )


def errors_guide(settings: Settings) -> str:
    """Every kind of error."""
    rows = ((f"`{kind}`", meaning, REMEDIES[kind]) for kind, meaning in _error_kinds())
    return "\n\n".join(
        [
            "# Errors",
            "A failed call is a result with isError. Its text begins with the kind in brackets, says what failed and "
            "why, then what to do next; the last block is the partial answer. Programs find the kind in `_meta`.",
            _markdown_table(("kind", "meaning", "what to do"), rows),
        ]
    )


def api_guide(settings: Settings) -> str:
    """Ollama's endpoints and the tools that use them."""
    rows = ((f"`{method} {path}`", f"`{tool}`", note) for method, path, tool, note in ENDPOINTS)
    return "\n\n".join(
        [
            "# Ollama's API and the tools",
            "Each operation of the native API is a tool. Fields keep their names; durations are in seconds, sizes in "
            "bytes. "
            "ollama_decide, ollama_batch, ollama_search, ollama_compare and ollama_evaluate make many calls of "
            "/api/chat or /api/embed; "
            "ollama_decide asks a model with the capability 'decision' through POST /v1/systemone.",
            _markdown_table(("endpoint", "tool", "note"), rows),
            "The OpenAI-compatible paths under /v1 do the same work as /api with fewer fields and are not used.",
        ]
    )


def structured_output_guide(settings: Settings) -> str:
    """How to get JSON, and the limits of a schema."""
    bounds = (
        ("size", f"{json_schema.MAX_BYTES:,} bytes"),
        ("depth", f"{json_schema.MAX_DEPTH} levels"),
        ("sub-schemas", f"{json_schema.MAX_NODES:,}, {json_schema.MAX_EXPANDED:,} with references expanded"),
        ("pattern", f"{json_schema.MAX_PATTERN} characters"),
        ("minLength, maxItems, ...", f"{json_schema.MAX_COUNT:,}"),
    )
    return f"{STRUCTURED_OUTPUT}\n\n## Bounds of a schema\n\n{_markdown_table(('bound', 'most'), bounds)}"


def vision_guide(settings: Settings) -> str:
    """How to pass images, and what happens to them."""
    images = settings.images
    rows = (
        ("images in a call", f"{images.max_count}"),
        ("bytes of a file", f"{images.max_bytes:,}"),
        ("pixels", f"{images.max_megapixels:g} million ({images.max_megapixels_jpeg:g} million in a baseline JPEG)"),
        ("longest edge that is sent", f"{images.max_edge} pixels; larger images are reduced"),
        ("addresses (http, https)", "are fetched" if settings.effective_urls.enabled else "are off in the settings"),
    )
    return f"{VISION}\n\n## Limits here\n\n{_markdown_table(('what', 'limit'), rows)}"


def modelfile_guide(settings: Settings) -> str:
    """Modelfile instructions and the arguments that replace them."""
    rows = ((f"`{instruction}`", argument, meaning) for instruction, argument, meaning in INSTRUCTIONS)
    recommended = ", ".join(f"`{name}`" for name in OPTIONS if name in WORTH_BUILDING_IN)
    return "\n\n".join(
        [
            MODELFILE,
            _markdown_table(("instruction", "ollama_create_model", "meaning"), rows),
            f"Worth building in as `parameters`: {recommended}. The options guide explains each.",
            MODELFILE_EXAMPLE,
        ]
    )


def thinking_guide(settings: Settings) -> str:
    """How to control a model's thinking."""
    return THINKING


GUIDES = {
    "ollama://guides/options": Guide("Guide: model options", "Every option: type, range, default.", options_guide),
    "ollama://guides/modelfile": Guide("Guide: Modelfile", "Creating a model of your own.", modelfile_guide),
    "ollama://guides/structured-output": Guide(
        "Guide: structured output", "Getting checked JSON.", structured_output_guide
    ),
    "ollama://guides/vision": Guide("Guide: images", "How to pass images, and limits.", vision_guide),
    "ollama://guides/thinking": Guide("Guide: thinking", "Turning thinking on, off or up.", thinking_guide),
    "ollama://guides/errors": Guide("Guide: errors", "Every kind of error and what to do.", errors_guide),
    "ollama://guides/api": Guide("Guide: API", "Which tool uses which endpoint.", api_guide),
}


def _error_kinds() -> list[tuple[Kind, str]]:
    """Every kind of error with its meaning, once: a kind that several classes share has the meanings of all."""
    meanings: dict[Kind, str] = {}
    for kind, meaning in _error_classes(OllamaMCPError):
        meanings[kind] = f"{meanings[kind]} {meaning}" if kind in meanings else meaning
    return list(meanings.items())


def _error_classes(base: type[OllamaMCPError]) -> Iterator[tuple[Kind, str]]:
    """Kind and meaning (the first line of the docstring) of every error class, in the order of the file."""
    for error in base.__subclasses__():
        # Subclasses without a kind of their own share that of their base; other modules define errors of no new kind.
        if "kind" in vars(error) and error.__module__ == base.__module__:
            yield error.kind, (error.__doc__ or "").strip().splitlines()[0]
        yield from _error_classes(error)


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)
