"""`model="profile:NAME"`: a call that uses the model, the prompt and the options that an evaluation found."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL

if TYPE_CHECKING:
    from ollama_mcp.store.profiles import Profile
    from ollama_mcp.work.call_context import CallContext

PREFIX = "profile:"
_SHORT = 12


def owner() -> str:
    """Whose profiles a call has: the principal's, or those of the one user."""
    principal = CURRENT_PRINCIPAL.get()
    return principal.name if principal is not None else ""


async def with_profile(
    call: CallContext, arguments: dict[str, Any], taken: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """The arguments of a call with what its profile says for those that it does not give, and notes for its result.

    Args:
        call: The context of the call.
        arguments: The arguments; those whose `model` names no profile stay as they are.
        taken: The arguments that the tool takes.

    Raises:
        InvalidArgument: There is no such profile, nor a model of that name.
        OllamaMCPError: The store or the host fails.
    """
    found = await find_profile(call, str(arguments["model"]))
    if found is None:
        return arguments, []
    name = str(arguments["model"]).strip().removeprefix(PREFIX)
    filled = {**arguments, "model": found.model}
    for member in ("system", "format"):
        if member in taken and not filled.get(member) and found.task.get(member):
            filled[member] = found.task[member]
    if "options" in taken and found.task.get("options"):
        own = cast("dict[str, Any]", filled.get("options") or {})
        filled["options"] = {**found.task["options"], **own}
    notes = await _version_notes(call, name, found)
    _fill_task(filled, found, taken, notes)
    return filled, notes


async def find_profile(call: CallContext, model: str) -> Profile | None:
    """The profile that the name of a model stands for; None where it is a model's own.

    Raises:
        InvalidArgument: There is no such profile, nor a model of that name.
        OllamaMCPError: The store or the host fails.
    """
    if not model.strip().startswith(PREFIX):
        return None
    name = model.strip().removeprefix(PREFIX)
    found = await call.store.profiles.find(owner(), name)
    if found is None and await call.hosts.find_model(model) is None:
        raise await _no_profile(call, name)
    return found


def _fill_task(filled: dict[str, Any], found: Profile, taken: Collection[str], notes: list[str]) -> None:
    """Give what takes questions those of the profile, and a prompt its template: a batch's rows, or the one prompt."""
    template, questions = str(found.task.get("prompt", "")), found.task.get("questions")
    if "questions" in taken and "input" in taken:
        if filled.get("prompt") or filled.get("questions") or filled.get("embed"):
            return
        filled["prompt"] = template
        if questions:
            filled["questions"] = _as_questions(questions)
            # They go without what a prompt alone takes.
            filled.pop("format", None)
            filled.pop("system", None)
    elif "questions" in taken:
        if questions and not filled.get("questions"):
            filled["questions"] = _as_questions(questions)
    elif template and not questions and isinstance(filled.get("prompt"), str) and filled["prompt"].strip():
        from ollama_mcp.work.batch.rows import InputRow
        from ollama_mcp.work.batch.template import Template

        try:
            filled["prompt"] = Template(template, ["text"]).fill(InputRow(1, columns={"text": filled["prompt"]}))
        except InvalidArgument:
            notes.append("The prompt was sent as it is: the profile's has columns, which ollama_batch fills.")


def _as_questions(questions: list[Any]) -> list[Any]:
    from ollama_mcp.work.decide import ClosedQuestion

    return [ClosedQuestion.model_validate(question) for question in questions]


async def _version_notes(call: CallContext, name: str, found: Profile) -> list[str]:
    installed = await call.hosts.find_model(found.model) if found.digest else None
    if installed is None or installed.digest == found.digest:
        return []
    examples = found.task.get("examples", "")
    return [
        f"Profile {name!r} was measured on another version of {found.model} (digest {found.digest[:_SHORT]} then, "
        f"{installed.digest[:_SHORT]} now). ollama_evaluate(examples={examples!r}, profile={name!r}) measures it again."
    ]


async def _no_profile(call: CallContext, name: str) -> InvalidArgument:
    names = await call.store.profiles.names(owner())
    kept = f"There are: {', '.join(names[:8])}." if names else "None is kept yet."
    return InvalidArgument(
        f"There is no profile {name[:60]!r}.",
        next_step=f"{kept} ollama_evaluate with profile={name[:60]!r} makes one.",
    )
