"""Calls made from a tool's published schema: valid ones, and ones that are wrong in one or a few places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]
Value = st.SearchStrategy[Any]

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

# What has broken programs before: names that exist, paths, markup, control characters, halves of characters, numbers
# that are none. Plain random text nearly never gets past the first check.
_MODELS = ("llama3.2:3b", "qwen3:4b", "gemma3:4b", "nomic-embed-text", "LLAMA3.2:3B", "llama3.2", "no/such/model:x")
_TEXTS = (
    *("", " ", "\0", "\ud800", "\ufeff", "\u202e", "🙂" * 3, "a\r\nb", "NaN", "null", "[]", "{}", "{text}", "-1", "0"),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "~",
        "~nobody/x",
        ".",
        "/",
        "a.csv",
        "*.txt",
        "**",
        "[",
        "a.py:10-",
        "x" * 5_000,
    ),
    *(
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "http://[",
        "data:",
        "data:image/png;base64,AAAA",
        "sha256:" + "0" * 64,
    ),
    *("FROM llama3.2\nPARAMETER stop x", "FROM", "10m", "-1h", "1e309s", "%s%n", "out.jsonl", "out.csv", "out.npy"),
)
_NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308, 5e-324)

# By the argument's name, so that most calls get past the checks to the work behind them.
_USUAL = {
    **dict.fromkeys(("model", "models", "from", "source", "name"), _MODELS),
    **dict.fromkeys(
        ("files", "input", "path", "prompts_file", "texts", "examples"), ("a.csv", "b.txt", "*", "b.txt:1-2", "c.jsonl")
    ),
    **dict.fromkeys(("images", "image"), (_PIXEL, "a.png", f"data:image/png;base64,{_PIXEL}")),
    "keep_alive": ("10m", "0", "-1", "1h30m"),
    "think": ("low", "high"),
    "output": ("out.jsonl", "out.csv", "new/out.npy"),
    "modelfile": ("FROM llama3.2:3b\nSYSTEM hi", "Modelfile"),
    "digest": ("sha256:" + "0" * 64,),
}
_WORKING: dict[str, dict[str, Any]] = {
    "ollama_chat": {"prompt": "Hello"},
    "ollama_generate": {"prompt": "Hello"},
    "ollama_batch": {"input": ["one", "two"], "prompt": "{text}"},
    "ollama_compare": {"models": ["llama3.2:3b", "qwen3:4b"], "prompt": "Hello"},
    "ollama_decide": {"questions": [{"question": "Is it large?"}], "texts": ["a house"]},
    "ollama_search": {"query": "one", "texts": ["one", "two"]},
    "ollama_create_model": {"model": "made", "from": "llama3.2:3b", "confirm": True},
    "ollama_push_blob": {"data": "QUJD"},
    "ollama_load_model": {"model": "llama3.2:3b"},
    "ollama_embed": {"input": ["one"]},
}
_WORDS = ("Hello", "Summarise {text}", "Is it large?", "a", "yes: it is", "no", "low", "high")

text: Value = st.sampled_from(_TEXTS) | st.sampled_from(_MODELS) | st.text(max_size=12)
number: Value = st.sampled_from(_NUMBERS) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
anything: Value = st.recursive(
    st.none() | st.booleans() | number | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


def valid(schema: Schema, name: str = "") -> Value:
    """Values that a schema takes; `name` is the argument's, which tells what a text is likely to be."""
    if "anyOf" in schema:
        return st.one_of([valid(branch, name) for branch in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "string":
            at_least = schema.get("minLength", 0)
            usual = st.sampled_from(_USUAL.get(name, _WORDS))
            # Three times of four the usual: one bad text would hide what comes after its check.
            return st.one_of(usual, usual, usual, text.filter(lambda value: len(value) >= at_least))
        case "integer":
            least = schema.get("minimum", -(2**63))
            small = st.integers(max(least, 1), max(least, 100))
            return st.one_of(small, small, st.sampled_from([n for n in _NUMBERS if isinstance(n, int) and n >= least]))
        case "number":
            return number
        case "boolean":
            return st.booleans()
        case "array":
            return st.lists(valid(schema.get("items", {}), name), min_size=schema.get("minItems", 0), max_size=3)
        case "object":
            return _object(schema)
        case _:
            return anything


def valid_call(tool: str, schema: Schema) -> Value:
    """Arguments of a tool: drawn from its schema, or a call that works with one or two members drawn."""
    works = _WORKING.get(tool)
    if works is None:
        return valid(schema)
    known: dict[str, Schema] = schema["properties"]
    some = st.lists(st.sampled_from(sorted(known)), max_size=2, unique=True)
    drawn = some.flatmap(lambda names: st.fixed_dictionaries({name: valid(known[name], name) for name in names}))
    around = drawn.map(lambda members: {**works, **members})
    return st.one_of(valid(schema), around, around)


def near_valid_call(tool: str, schema: Schema) -> Value:
    """Arguments of a tool with one or two faults: a member gone, unknown, of another type or form."""
    return st.tuples(
        valid_call(tool, schema), st.lists(st.tuples(st.integers(0, 50), _CHANGES), min_size=1, max_size=2)
    ).map(lambda drawn: _changed(*drawn))


_CHANGES: Value = (
    st.just(("drop", None))
    | st.tuples(st.just("replace"), anything)
    | st.tuples(st.just("add"), anything)
    | st.tuples(st.just("wrap"), st.booleans())
)


def _object(schema: Schema) -> Value:
    known: dict[str, Schema] = schema.get("properties", {})
    required = set(schema.get("required", ()))
    members = {name: valid(inner, name) for name, inner in known.items()}
    optional = [name for name in members if name not in required]
    # All at once exclude each other nearly always.
    few = st.lists(st.sampled_from(optional), max_size=4, unique=True) if optional else st.just([])
    return few.flatmap(
        lambda chosen: st.fixed_dictionaries({name: members[name] for name in known if name in {*required, *chosen}})
    )


def _changed(arguments: dict[str, Any], changes: Sequence[tuple[int, tuple[str, Any]]]) -> dict[str, Any]:
    result = dict(arguments)
    for place, (kind, value) in changes:
        names = sorted(result)
        if kind == "add" or not names:
            result[f"extra{place}"] = value
            continue
        name = names[place % len(names)]
        match kind:
            case "drop":
                del result[name]
            case "replace":
                result[name] = value
            case _:
                result[name] = [result[name]] if value else {"value": result[name]}
    return result
