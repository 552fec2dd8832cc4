"""Ollama's model options: name, type, range, default, meaning; one table for checks, errors, guides and the simulator.

Source: the recorded API contract (Ollama v0.5 to v0.40). `typical_p` is left out on purpose: v0.34.1 to v0.34.4 refuse
any request that carries it.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import Any, Literal

from ollama_mcp.errors import InvalidArgument

OptionType = Literal["integer", "number", "boolean", "strings"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `reloads`: changing it between calls makes Ollama reload the model."""

    name: str
    type: OptionType
    default: str
    meaning: str
    minimum: float | None = None
    maximum: float | None = None
    reloads: bool = False

    @property
    def allowed(self) -> str:
        """Type and range as text."""
        if self.type == "strings":
            return "a list of strings"
        if self.type == "boolean":
            return "true or false"
        kind = "a whole number" if self.type == "integer" else "a number"
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} from {_plain(self.minimum)} to {_plain(self.maximum)}"
        return f"{kind}, {_plain(self.minimum)} or more" if self.minimum is not None else kind


def _plain(bound: float) -> str:
    """The number without an exponent, which a model may misread."""
    return f"{bound:.0f}" if bound == int(bound) else f"{bound:g}"


# Ollama passes whole numbers on as 32 bits; larger ones silently become other numbers.
_INT32 = 2**31 - 1

_TABLE = (
    Option("temperature", "number", "0.8", "Randomness; 0 takes the likeliest token each time.", 0, 10),
    Option("seed", "integer", "-1", "Same seed, model and options give the same text; -1 is random.", -1, _INT32),
    Option(
        "num_predict",
        "integer",
        "-1",
        "Most tokens to generate; -1 leaves it to Ollama (10 x num_ctx).",
        -2,
        1_000_000,
    ),
    Option(
        "num_ctx",
        "integer",
        "by memory",
        "Context length in tokens, prompt and answer together.",
        4,
        10_000_000,
        reloads=True,
    ),
    Option("num_keep", "integer", "4", "Tokens of the prompt's start kept when the context overflows.", -1, _INT32),
    Option("top_k", "integer", "40", "Choose among the k likeliest tokens; 0 switches it off.", 0, _INT32),
    Option("top_p", "number", "0.9", "Choose among the likeliest tokens that make up this probability.", 0, 1),
    Option("min_p", "number", "0.0", "Drop tokens less likely than this share of the likeliest.", 0, 1),
    Option("repeat_last_n", "integer", "64", "How far back repetition is looked for; -1 is num_ctx.", -1, _INT32),
    Option("repeat_penalty", "number", "1.0", "Above 1 punishes repetition (1.1 before Ollama v0.32.10).", 0, 10),
    Option("presence_penalty", "number", "0.0", "Punishes tokens that appeared at all.", -10, 10),
    Option("frequency_penalty", "number", "0.0", "Punishes tokens by how often they appeared.", -10, 10),
    Option("stop", "strings", "none", "Texts at which the answer ends."),
    Option("num_batch", "integer", "512", "Prompt tokens evaluated at once.", 1, _INT32, reloads=True),
    Option("num_gpu", "integer", "-1", "Layers on the GPU; -1 chooses, 0 is CPU only.", -1, _INT32, reloads=True),
    Option("main_gpu", "integer", "auto", "GPU that holds the small tensors.", 0, _INT32, reloads=True),
    Option("use_mmap", "boolean", "auto", "Map the model file instead of reading it.", reloads=True),
    # More threads than a machine can start crash the process that runs the model.
    Option("num_thread", "integer", "0", "CPU threads; 0 chooses.", 0, 1024, reloads=True),
    Option("draft_num_predict", "integer", "4", "Tokens a draft model proposes at once.", 0, _INT32, reloads=True),
)
OPTIONS: dict[str, Option] = {option.name: option for option in _TABLE}

# Accepted in `options` for convenience; in Ollama's API they are fields of the request itself.
TOP_LEVEL_OPTIONS = ("truncate", "shift", "top_logprobs")

BLOCKED_OPTIONS = {
    "typical_p": "Ollama v0.34.1 to v0.34.4 refuse every request that carries it; use top_p or min_p instead",
}
REMOVED_OPTIONS = frozenset(
    (
        "tfs_z",
        "penalize_newline",
        "low_vram",
        "f16_kv",
        "logits_all",
        "vocab_only",
        "use_mlock",
        "mirostat",
        "mirostat_tau",
        "mirostat_eta",
        "numa",
    )
)


def check_options(options: dict[str, Any], *, also: tuple[str, ...] = ()) -> dict[str, Any]:
    """The options as Ollama takes them: known names, correct types, values in range.

    Args:
        options: As a caller gave them. Numbers as text and a single stop text are converted; null is dropped.
        also: Further names that the caller handles itself (`truncate`, ...), for the suggestion of a close name.

    Raises:
        InvalidArgument: Names the option, its value and what is allowed.
    """
    return {name: _checked(name, value, also) for name, value in options.items() if value is not None}


def without_fillers(options: dict[str, Any]) -> dict[str, Any]:
    """The options without those that a host only filled in: an empty value, or a 0, that the option cannot have."""
    return {name: value for name, value in options.items() if not _is_filler(name, value)}


def split_options(defaults: dict[str, Any], given: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The given options over the defaults, and separately those of TOP_LEVEL_OPTIONS."""
    merged = {**defaults, **(given or {})}
    top_level = {name: merged.pop(name) for name in TOP_LEVEL_OPTIONS if name in merged}
    return merged, top_level


def _is_filler(name: str, value: Any) -> bool:
    if value in ("", [], {}):
        return name in OPTIONS or name in TOP_LEVEL_OPTIONS
    option = OPTIONS.get(name)
    return option is not None and value == 0 and option.minimum is not None and option.minimum > 0


def _checked(name: str, value: Any, also: tuple[str, ...]) -> Any:
    option = OPTIONS.get(name)
    if option is None:
        raise _unknown_option(name, also)
    try:
        converted = _CONVERTERS[option.type](value)
    except (TypeError, ValueError, OverflowError):
        raise _invalid_value(option, value) from None
    if isinstance(converted, int | float) and not isinstance(converted, bool):
        low, high = option.minimum, option.maximum
        if (low is not None and converted < low) or (high is not None and converted > high):
            raise _invalid_value(option, value)
        if name == "num_predict" and converted == 0:
            raise InvalidArgument(
                "options.num_predict 0 does not mean no tokens: some Ollama versions treat it as no limit.",
                next_step="Omit it, or use 1 or more.",
            )
    return converted


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if number != math.floor(number):
        raise ValueError
    return int(value) if isinstance(value, str | int) and str(value).lstrip("+-").isdigit() else int(number)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    values = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in values:
        return values[value.lower()]
    raise TypeError


def _strings(value: Any) -> list[str]:
    items: list[Any] = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(item, str) for item in items):
        raise TypeError
    return items


_CONVERTERS = {"integer": _integer, "number": _number, "boolean": _boolean, "strings": _strings}


def _invalid_value(option: Option, value: Any) -> InvalidArgument:
    shown = repr(value)
    return InvalidArgument(
        f"options.{option.name} is {shown if len(shown) <= 60 else shown[:60] + '…'}, but must be {option.allowed}.",
        next_step=f"Meaning: {option.meaning}",
    )


def _unknown_option(name: str, also: tuple[str, ...]) -> InvalidArgument:
    if name in BLOCKED_OPTIONS:
        return InvalidArgument(f"options.{name} is never sent: {BLOCKED_OPTIONS[name]}.")
    if name in REMOVED_OPTIONS:
        return InvalidArgument(f"options.{name} was removed from Ollama and is ignored by it.", next_step="Omit it.")
    names = [*OPTIONS, *also]
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return InvalidArgument(f"Ollama has no option {name[:60]!r}.", next_step=f"{hint}Known: {', '.join(names)}.")
