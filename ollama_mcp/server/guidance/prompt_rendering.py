"""A prompt's text under the settings, the arguments and what the host says now."""

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
    """The model that a prompt works with; "" where none is known. `note` says what is odd about it."""

    model: str
    note: str = ""


def render_prompt(
    prompt: Prompt, given: Mapping[str, str], view: HostState | None, offered: Collection[str], settings: Settings
) -> str:
    """The text of a prompt.

    Args:
        prompt: The prompt.
        given: Its arguments; each goes in once, as a JSON string, so that nothing in it reads as ours.
        view: What the host says, where the prompt wants to know.
        offered: Names of the offered tools.
        settings: For the models that they name, and whether the client may name files.
    """
    choice = _choose_model(prompt, given.get("model", ""), view, settings) if view is not None else PromptModel("")
    values: dict[str, str] = {one.name: json.dumps(one.default) for one in prompt.arguments if one.default}
    values |= {name: json.dumps(text, ensure_ascii=False) for name, text in given.items()}
    values.pop("model", None)
    values[BY_PATH if may_name_files(settings) else INLINE] = ""
    if choice.model:
        values["model"] = json.dumps(choice.model)
    if view is not None:
        values |= {
            "models": _models(prompt, choice, view),
            "installed": _installed(view),
            "loaded": _loaded(view),
            "host": _host(view),
        }
        values |= _candidates(prompt, choice, view)
    kept = (_fill_line(line, values, offered) for line in prompt.body.splitlines())
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in kept if line is not None)).strip()
    call = _first_call(prompt, values, view, offered)
    return f"{text}\n\n{call}".strip()


def _fill_line(line: str, values: Mapping[str, str], offered: Collection[str]) -> str | None:
    """A line with its values, in one pass; None where it names a tool or a value that is not there."""
    if any(tool not in offered for tool in TOOL_NAME.findall(line)):
        return None
    if any(name not in values for name in PLACEHOLDER.findall(line)):
        return None
    return PLACEHOLDER.sub(lambda match: values[match[1]], line)


def _choose_model(prompt: Prompt, asked: str, view: HostState, settings: Settings) -> PromptModel:
    """The model that was asked for, else the one that a call without a model takes, as long as it is installed."""
    wanted = requirements_for(prompt.capability, view.largest_gb)
    if asked:
        return _requested_model(prompt, asked, pick_model(view.models, wanted), view)
    default, _ = configured_model(settings.defaults, wanted.task, vision="vision" in wanted.extra_capabilities)
    found = view.find_model(default) if default else None
    return PromptModel(pick_model(view.models, wanted, default=found.name if found is not None else ""))


def _requested_model(prompt: Prompt, asked: str, instead: str, view: HostState) -> PromptModel:
    found = view.find_model(asked)
    if found is not None:
        lacks = prompt.capability not in found.capabilities
        return PromptModel(found.name, f"{found.name} lacks the capability {prompt.capability!r}." if lacks else "")
    try:
        name = parse_name(asked)
    except InvalidArgument:
        return PromptModel(instead, f"{json.dumps(asked[:80], ensure_ascii=False)} is no model name.")
    if view.problem or name.is_cloud:
        return PromptModel(asked.strip())
    close = closest_names(asked, view.model_names())
    hint = f" Closest: {', '.join(close)}." if close else ""
    return PromptModel(instead, f"Model {asked.strip()!r} is not installed.{hint}")


def _models(prompt: Prompt, choice: PromptModel, view: HostState) -> str:
    if view.problem:
        return _host(view)
    able = view.models_with(prompt.capability)
    able.sort(key=lambda model: model.name != choice.model)
    lines = [choice.note] if choice.note else []
    if not able:
        return "\n".join([*lines, f"No installed model has the capability {prompt.capability!r}."])
    lines.append(f"Installed with {prompt.capability!r}:")
    lines += [f"- {model}" for model in able[:MAX_CAPABLE]]
    return "\n".join([*lines, f"- and {len(able) - MAX_CAPABLE} more"] if len(able) > MAX_CAPABLE else lines)


def _candidates(prompt: Prompt, choice: PromptModel, view: HostState) -> dict[str, str]:
    """A few models to try against each other; nothing where there is only one."""
    able = sorted((model.name for model in view.models_with(prompt.capability)), key=lambda name: name != choice.model)
    return {"candidates": ", ".join(map(json.dumps, able[:MAX_CANDIDATES]))} if len(able) > 1 else {}


def _installed(view: HostState) -> str:
    if view.problem or not view.models:
        return _host(view)
    lines = [f"- {model}: {', '.join(model.capabilities)}" for model in view.models[:MAX_INSTALLED]]
    more = len(view.models) - MAX_INSTALLED
    return "\n".join(["Installed:", *lines, f"- and {more} more"] if more > 0 else ["Installed:", *lines])


def _loaded(view: HostState) -> str:
    if view.problem:
        return _host(view)
    return f"In memory now: {', '.join(view.loaded)}." if view.loaded else "No model is in memory now."


def _host(view: HostState) -> str:
    if view.problem:
        return f"Ollama at {view.url} does not answer, so nothing is known of its models: {view.problem}"
    return f"Ollama {view.version} answers at {view.url}; {len(view.models)} models are installed. {_loaded(view)}"


def _first_call(prompt: Prompt, values: Mapping[str, str], view: HostState | None, offered: Collection[str]) -> str:
    """The line that the text ends in: the first of the prompt's calls that is possible, or what must come before it."""
    known = {*values, *(one.name for one in prompt.arguments), "model"}
    possible = (call for call in prompt.first_calls if known.issuperset(PLACEHOLDER.findall(call)))
    chosen = next((call for call in possible if set(offered).issuperset(TOOL_NAME.findall(call)[:1])), "")
    if not chosen:
        return ""
    if "{model}" not in chosen or "model" in values:
        return FIRST_CALL + PLACEHOLDER.sub(lambda match: values.get(match[1], '""'), chosen)
    if view is not None and view.problem and "ollama_status" in offered:
        return f"{FIRST_CALL}`ollama_status()`"
    suggested = json.dumps(SUGGESTED[prompt.capability])
    if "ollama_pull_model" in offered:
        return f"First ask the user, then call: `ollama_pull_model(model={suggested})`"
    if "ollama_list_models" in offered:
        return f"{FIRST_CALL}`ollama_list_models()`"
    return FIRST_CALL + PLACEHOLDER.sub(lambda match: values.get(match[1], suggested), chosen)
