"""The guides: Markdown written from the tables that the code itself works with, so that they cannot drift from it.

The parts of the guides that no table of the code holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.errors import Kind, OllamaMCPError
from ollama_mcp.formats import json_schema
from ollama_mcp.formats.options import BLOCKED_OPTIONS, OPTIONS, Option

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings


# Method, path, tool, since which version; what Ollama's API documentation calls native endpoints.
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

# What to do about each kind of error; the error itself says it with names and figures.
REMEDIES: dict[Kind, str] = {
    "unreachable": "Start Ollama, or set its address (OLLAMA_HOST); ollama_status tells when it answers.",
    "timeout": "Raise the limit of the settings that the error names, or take a smaller model.",
    "interrupted": "The second block is what had come. Call again; a download goes on where it stopped.",
    "bad_answer": "Something other than Ollama may listen there; with a format, simplify the schema.",
    "model_not_found": "Take one of the closest names, or download it if the user wants that.",
    "unsupported": "Take an installed model that has the capability; the error names some.",
    "unsupported_by_version": "The user can update Ollama; the error names the version that has it.",
    "invalid_argument": "Correct the argument that the error names; it says what is allowed.",
    "not_allowed": "Only the user can change the setting that the error names.",
    "needs_confirmation": "Tell the user what would happen; after a yes, the same call with confirm=true.",
    "declined": "The user said no, or gave no answer: do not ask again unprompted.",
    "too_long": "Leave options.num_ctx out, set too_long='split', send less, or take a model with a longer context.",
    "unauthorized": "The user signs in (`ollama signin`) or sets a key.",
    "forbidden": "The host refuses this server's address or its cloud is off; only its owner can change that.",
    "busy": "Wait as long as the error says, then call again.",
    "server_error": "Try once more; then look at Ollama's own log.",
    "no_answer": "Raise options.num_predict, or set think=false.",
    "disk": "Check the path, the rights and the space left; a batch goes on with the same call.",
    "internal": "Try once more; if it stays, report it with the server's stderr log.",
}


@dataclass(frozen=True, slots=True)
class Guide:
    """A guide; `write` gives its Markdown under some settings."""

    title: str
    description: str
    render: Callable[[Settings], str]


def options_guide(settings: Settings) -> str:
    """Every model option."""
    rows = (
        (f"`{one.name}`", one.allowed, one.default, "yes" if one.reloads else "", one.meaning)
        for one in OPTIONS.values()
    )
    beside = (
        (
            "`truncate`",
            "true or false",
            "true",
            "",
            "Drop the oldest turns of a prompt that does not fit; false refuses it.",
        ),
        ("`shift`", "true or false", "true", "", "Forget the oldest tokens when an answer fills the context."),
        ("`top_logprobs`", "a whole number from 0 to 20", "0", "", "Alternatives per token; brings logprobs along."),
    )
    default = settings.defaults.options
    chosen = (
        "Leave num_ctx out: a prompt is measured before it is sent, and the context is chosen to fit, at most "
        f"{settings.limits.num_ctx:,} tokens (limits.num_ctx); what cannot fit is the error too_long, and a prompt "
        "that comes near the limit is sent with truncate=false where Ollama knows it (v0.12.6). A num_ctx or "
        "truncate of yours is taken as it is."
    )
    return "\n\n".join(
        [
            "# Model options",
            "They go into the argument `options` of ollama_chat and ollama_generate, win over those built into a "
            "model, and are checked before anything is sent. A changed option marked reload makes Ollama load the "
            "model anew.",
            chosen,
            _markdown_table(("option", "takes", "default", "reload", "meaning"), [*rows, *beside]),
            "Never sent: " + "; ".join(f"`{name}` ({why})" for name, why in BLOCKED_OPTIONS.items()) + ".",
            f"Sent by default with every call: `{default}`." if default else "The settings add none by default.",
        ]
    )


def errors_guide(settings: Settings) -> str:
    """Every kind of error."""
    rows = ((f"`{kind}`", meaning, REMEDIES[kind]) for kind, meaning in _error_kinds(OllamaMCPError))
    return "\n\n".join(
        [
            "# Errors",
            "A failed call is a result with isError. Its text begins with the kind in brackets, says what failed and "
            "why, then what to do next; a second block is the part of an answer that had come. Programs find the kind "
            "in `_meta`.",
            _markdown_table(("kind", "meaning", "what to do"), rows),
        ]
    )


def api_guide(settings: Settings) -> str:
    """Ollama's endpoints and the tools that use them."""
    rows = ((f"`{method} {path}`", f"`{tool}`", note) for method, path, tool, note in ENDPOINTS)
    return "\n\n".join(
        [
            "# Ollama's API and the tools",
            "Each operation of the native API is a tool. Fields keep their names; durations are seconds, sizes bytes. "
            "ollama_decide, ollama_batch, ollama_rank and ollama_compare make many calls of /api/chat or /api/embed; "
            "ollama_decide asks a model with the capability 'decision' by POST /v1/systemone.",
            _markdown_table(("endpoint", "tool", "note"), rows),
            "The OpenAI-compatible paths under /v1 do the same work as /api with fewer fields and are not used.",
        ]
    )


def structured_output_guide(settings: Settings) -> str:
    """How to get JSON, and the bounds of a schema."""
    bounds = (
        ("size", f"{json_schema.MAX_BYTES:,} bytes"),
        ("depth", f"{json_schema.MAX_DEPTH} levels"),
        ("sub-schemas", f"{json_schema.MAX_NODES:,}, {json_schema.MAX_EXPANDED:,} with references expanded"),
        ("pattern", f"{json_schema.MAX_PATTERN} characters"),
        ("minLength, maxItems, ...", f"{json_schema.MAX_COUNT:,}"),
    )
    return f"{STRUCTURED_OUTPUT}\n\n## Bounds of a schema\n\n{_markdown_table(('bound', 'most'), bounds)}"


def vision_guide(settings: Settings) -> str:
    """How images are given, and what happens to them."""
    images = settings.images
    rows = (
        ("images in a call", f"{images.max_count}"),
        ("bytes of a file", f"{images.max_bytes:,}"),
        ("pixels", f"{images.max_megapixels:g} million ({images.max_megapixels_jpeg:g} million in a baseline JPEG)"),
        ("longest edge that is sent", f"{images.max_edge} pixels; larger images are reduced"),
        ("addresses (http, https)", "are fetched" if settings.urls.enabled else "are off in the settings"),
    )
    return f"{VISION}\n\n## Limits here\n\n{_markdown_table(('what', 'limit'), rows)}"


def modelfile_guide(settings: Settings) -> str:
    """Modelfile instructions and the arguments that stand for them."""
    rows = ((f"`{one}`", argument, meaning) for one, argument, meaning in INSTRUCTIONS)
    reloading = ", ".join(f"`{one.name}`" for one in _worth_building_in(OPTIONS.values()))
    return "\n\n".join(
        [
            MODELFILE,
            _markdown_table(("instruction", "ollama_create_model", "meaning"), rows),
            f"Worth building in as `parameters`: {reloading}. The options guide says what each means.",
            MODELFILE_EXAMPLE,
        ]
    )


def thinking_guide(settings: Settings) -> str:
    """How a model is told to think."""
    return THINKING


GUIDES = {
    "ollama://guides/options": Guide("Guide: model options", "Every option: type, range, default.", options_guide),
    "ollama://guides/modelfile": Guide("Guide: Modelfile", "Making a model of your own.", modelfile_guide),
    "ollama://guides/structured-output": Guide(
        "Guide: structured output", "Getting checked JSON.", structured_output_guide
    ),
    "ollama://guides/vision": Guide("Guide: images", "How to give images, and limits.", vision_guide),
    "ollama://guides/thinking": Guide("Guide: thinking", "Turning thinking on, off, up.", thinking_guide),
    "ollama://guides/errors": Guide("Guide: errors", "Every kind of error and what to do.", errors_guide),
    "ollama://guides/api": Guide("Guide: API", "Which tool uses which endpoint.", api_guide),
}


def _error_kinds(base: type[OllamaMCPError]) -> Iterator[tuple[Kind, str]]:
    """Kind and meaning of every error class, in the order of the file."""
    for one in base.__subclasses__():
        if "kind" in vars(one) and one.__module__ == base.__module__:
            yield one.kind, (one.__doc__ or "").strip().splitlines()[0]
        yield from _error_kinds(one)


def _worth_building_in(all_options: Iterable[Option]) -> Iterator[Option]:
    return (one for one in all_options if one.name in WORTH_BUILDING_IN)


def _markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)


STRUCTURED_OUTPUT = """\
# Structured output

Give `format` a JSON Schema (or 'json' for any object). The answer comes as a checked `value` in structuredContent; what
does not fit is an error with the text as it came.

- Name the fields in the prompt too: the schema restrains the model, it does not tell it what to write.
- Few fields, plain names, `enum` for classes, `required` for all that must be there. Small models fail at deep nesting.
- Give a way out, such as an enum value 'unknown' or a field that may be left out; else something is made up.
- `options={"temperature": 0}` for repeatable answers; `num_predict` must leave room for the whole JSON.
- With a format, thinking is off (or at its lowest level) unless `think` says otherwise.
- Over files: `files`; cite=true adds quotes that are looked up, and `value` still fits your schema.
- For a label, a score or yes/no ollama_decide needs no schema and gives probabilities. For many rows or files
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
- Sounds (WAV, MP3) go into `audio`, where the settings offer it, for a model with the capability 'audio'."""

THINKING = """\
# Thinking

A model with the capability 'thinking' first thinks, then answers. `think` takes true, false or a level ('low',
'medium', 'high', 'max') that the model has; `ollama_show_model` lists its thinking levels.

- Left out, the model decides: most think. With a `format` it is off, or at its lowest level where it can't be off.
- Thinking costs tokens and time: false for extraction, classification and rewriting, true for planning and hard
  questions.
- `num_predict` counts thinking too. An answer that was all thinking is the error no_answer: raise it, or think=false.
- `include=["thinking"]` brings the thoughts; they are no answer and may be wrong where the answer is right.
- In a tool loop send the assistant's `thinking` back within messages."""

MODELFILE = """\
# Modelfile

A model of your own is an installed one with a system prompt, options, a template or examples built in. What a Modelfile
says in instructions, ollama_create_model takes as arguments; a whole Modelfile goes into `modelfile`, as text or path.
Built on an installed model it copies no weights, so it takes a second and next to no disk."""

# Instruction, the argument that stands for it, its meaning.
INSTRUCTIONS = (
    ("FROM", "`from`, `path` or `files`", "an installed model, files to upload, or files already on the host"),
    ("SYSTEM", "`system`", "system prompt, used where a call brings none"),
    ("PARAMETER", "`parameters`", "options built in; a call's own options win"),
    ("TEMPLATE", "`template`", "prompt template in Go's notation; leave it out to keep the model's own"),
    ("MESSAGE", "`messages`", "example turns that come before every conversation"),
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

`ollama_show_model(model="reviewer", include=["modelfile"])` shows the outcome. A name that exists is overwritten only
after a confirmation."""
