"""The text of a prompt, from its file, the arguments, the settings and the present state of the host."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.server.failures import closest_names
from ollama_mcp.server.guidance.prompts import BY_PATH, FIRST_CALL, INLINE, PLACEHOLDER, TOOL_NAME
from ollama_mcp.server.instructions import may_name_files
from ollama_mcp.work.choosing import SUGGESTED, configured_model, pick_model, requirements_for

if TYPE_CHECKING:
    from ollama_mcp.server.guidance.host_state import HostState
    from ollama_mcp.server.guidance.prompts import Prompt
    from ollama_mcp.settings import Settings

MAX_CAPABLE = 5
MAX_INSTALLED = 12
MAX_CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class PromptModel:
    """The model that a prompt uses, or ""; `note` is what the reader should know about that choice, or ""."""

    model: str
    note: str = ""


def render_prompt(
    prompt: Prompt, given: Mapping[str, str], state: HostState | None, offered: Collection[str], settings: Settings
) -> str:
    """The text of a prompt.

    Args:
        prompt: The prompt.
        given: Its arguments. Each is inserted once, as a JSON string, so that it cannot read as part of the prompt.
        state: The state of the host, where the prompt needs it.
        offered: Names of the offered tools.
        settings: For default models, and for whether the client may name files.
    """
    choice = _choose_model(prompt, given.get("model", ""), state, settings) if state is not None else PromptModel("")
    values: dict[str, str] = {one.name: json.dumps(one.default) for one in prompt.arguments if one.default}
    values |= {name: json.dumps(text, ensure_ascii=False) for name, text in given.items()}
    # The choice counts: a requested model that is not installed is replaced.
    values.pop("model", None)
    values[BY_PATH if may_name_files(settings) else INLINE] = ""
    if choice.model:
        values["model"] = json.dumps(choice.model)
    if state is not None:
        values |= {
            "models": _models(prompt, choice, state),
            "installed": _installed(state),
            "loaded": _loaded(state),
            "host": _host(state),
        }
        values |= _candidates(prompt, choice, state)
    kept = (_fill_line(line, values, offered) for line in prompt.body.splitlines())
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in kept if line is not None)).strip()
    call = _first_call(prompt, values, state, offered)
    return f"{text}\n\n{call}".strip()


def _fill_line(line: str, values: Mapping[str, str], offered: Collection[str]) -> str | None:
    """A line with its values filled in; None where it contains a tool or a value that is not available.

    One pass, so that braces inside a value are not filled in turn.
    """
    if any(tool not in offered for tool in TOOL_NAME.findall(line)):
        return None
    if any(name not in values for name in PLACEHOLDER.findall(line)):
        return None
    return PLACEHOLDER.sub(lambda match: values[match[1]], line)


def _choose_model(prompt: Prompt, asked: str, state: HostState, settings: Settings) -> PromptModel:
    """The requested model, else the one that a call without `model` would use, if that is installed."""
    wanted = requirements_for(prompt.capability, state.largest_gb)
    if asked:
        return _requested_model(prompt, asked, pick_model(state.models, wanted), state)
    default, _ = configured_model(settings.defaults, wanted.task, vision="vision" in wanted.extra_capabilities)
    found = state.find_model(default) if default else None
    return PromptModel(pick_model(state.models, wanted, default=found.name if found is not None else ""))


def _requested_model(prompt: Prompt, asked: str, instead: str, state: HostState) -> PromptModel:
    found = state.find_model(asked)
    if found is not None:
        lacks = prompt.capability not in found.capabilities
        return PromptModel(found.name, f"{found.name} lacks the capability {prompt.capability!r}." if lacks else "")
    try:
        name = parse_name(asked)
    except InvalidArgument:
        return PromptModel(instead, f"{json.dumps(asked[:80], ensure_ascii=False)} is not a valid model name.")
    if state.problem or name.is_cloud:
        return PromptModel(asked.strip())
    close = closest_names(asked, state.model_names())
    hint = f" Closest: {', '.join(close)}." if close else ""
    return PromptModel(instead, f"Model {asked.strip()!r} is not installed.{hint}")


def _models(prompt: Prompt, choice: PromptModel, state: HostState) -> str:
    if state.problem:
        return _host(state)
    capable = state.models_with(prompt.capability)
    capable.sort(key=lambda model: model.name != choice.model)
    lines = [choice.note] if choice.note else []
    if not capable:
        return "\n".join([*lines, f"No installed model has the capability {prompt.capability!r}."])
    lines.append(f"Installed with {prompt.capability!r}:")
    lines += [f"- {model}" for model in capable[:MAX_CAPABLE]]
    return "\n".join([*lines, f"- and {len(capable) - MAX_CAPABLE} more"] if len(capable) > MAX_CAPABLE else lines)


def _candidates(prompt: Prompt, choice: PromptModel, state: HostState) -> dict[str, str]:
    """A few models to compare; no value where there is only one."""
    capable = sorted(
        (model.name for model in state.models_with(prompt.capability)), key=lambda name: name != choice.model
    )
    return {"candidates": ", ".join(map(json.dumps, capable[:MAX_CANDIDATES]))} if len(capable) > 1 else {}


def _installed(state: HostState) -> str:
    if state.problem or not state.models:
        return _host(state)
    lines = [f"- {model}: {', '.join(model.capabilities)}" for model in state.models[:MAX_INSTALLED]]
    more = len(state.models) - MAX_INSTALLED
    return "\n".join(["Installed:", *lines, f"- and {more} more"] if more > 0 else ["Installed:", *lines])


def _loaded(state: HostState) -> str:
    if state.problem:
        return _host(state)
    return f"In memory now: {', '.join(state.loaded)}." if state.loaded else "No model is in memory now."


def _host(state: HostState) -> str:
    if state.problem:
        return f"Ollama at {state.url} does not answer, so its models are not known: {state.problem}"
    return f"Ollama {state.version} answers at {state.url}; {len(state.models)} models are installed. {_loaded(state)}"


def _first_call(prompt: Prompt, values: Mapping[str, str], state: HostState | None, offered: Collection[str]) -> str:
    """The line that the text ends with: the first possible call of the prompt, or what must come before it."""
    known = {*values, *(one.name for one in prompt.arguments), "model"}
    possible = (call for call in prompt.first_calls if known.issuperset(PLACEHOLDER.findall(call)))
    chosen = next((call for call in possible if set(offered).issuperset(TOOL_NAME.findall(call)[:1])), "")
    if not chosen:
        return ""
    if "{model}" not in chosen or "model" in values:
        return FIRST_CALL + PLACEHOLDER.sub(lambda match: values.get(match[1], '""'), chosen)
    if state is not None and state.problem and "ollama_status" in offered:
        return f"{FIRST_CALL}`ollama_status()`"
    suggested = json.dumps(SUGGESTED[prompt.capability])
    if "ollama_pull_model" in offered:
        return f"First ask the user, then call: `ollama_pull_model(model={suggested})`"
    if "ollama_list_models" in offered:
        return f"{FIRST_CALL}`ollama_list_models()`"
    return FIRST_CALL + PLACEHOLDER.sub(lambda match: values.get(match[1], suggested), chosen)
