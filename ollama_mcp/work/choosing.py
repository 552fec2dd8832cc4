"""Which model does a task where the call names none: one readable rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ollama_mcp.errors import InvalidArgument

if TYPE_CHECKING:
    from ollama_mcp.settings.model import Defaults
    from ollama_mcp.work.kit import Kit

Task = Literal["chat", "generate", "embed", "decide"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model for a task; `note` says why this one, and is empty where the caller named it."""

    model: str
    note: str = ""


class Habits:
    """The model that one caller used last for each task."""

    def __init__(self) -> None:
        self._last: dict[Task, str] = {}

    def last(self, task: Task) -> str:
        """The model of the last call that named one, or ""."""
        return self._last.get(task, "")

    def use(self, task: Task, model: str) -> None:
        """Remember a model that a call named."""
        self._last[task] = model


def configured(defaults: Defaults, task: Task, *, vision: bool = False) -> str:
    """The settings' model for a task, or ""."""
    own: str = getattr(defaults, task)
    return (vision and defaults.vision) or own or defaults.model


async def choose(kit: Kit, name: str, task: Task, *, vision: bool = False) -> Chosen:
    """The model to use: the one that was named, else the settings' own for the task.

    Raises:
        InvalidArgument: Neither names one.
    """
    if name:
        return Chosen(name)
    chosen = configured(kit.settings.defaults, task, vision=vision)
    if not chosen:
        raise InvalidArgument(
            "model is required.",
            next_step="ollama_list_models names the installed ones; the settings' defaults can name one for good.",
        )
    return Chosen(chosen)
