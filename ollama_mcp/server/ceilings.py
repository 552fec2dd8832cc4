"""The most that a call may ask for where the settings have a maximum: num_predict, num_ctx, keep_alive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ollama_mcp.errors import NotAllowed
from ollama_mcp.formats.durations import FOREVER, keep_alive_seconds
from ollama_mcp.settings.model import PolicySettings


def check_ceilings(policy: PolicySettings, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that ask for more.

    Raises:
        NotAllowed: Names the argument and the setting.
    """
    given: object = arguments.get("options")
    options = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    for name in ("num_predict", "num_ctx"):
        most, wanted = getattr(policy, name), options.get(name)
        # A negative num_predict is no limit at all.
        if most and isinstance(wanted, int | float) and (wanted > most or wanted < 0):
            raise _too_much(f"options.{name}", wanted, name, most)
    wanted = arguments.get("keep_alive")
    if policy.keep_alive is not None and wanted is not None:
        seconds = keep_alive_seconds(wanted)
        if seconds == FOREVER or seconds > keep_alive_seconds(policy.keep_alive):
            raise _too_much("keep_alive", wanted, "keep_alive", policy.keep_alive)


def _too_much(argument: str, wanted: object, setting: str, most: object) -> NotAllowed:
    return NotAllowed(
        f"{argument} {str(wanted)[:40]!r} is more than setting policy.{setting} allows ({most}).",
        next_step=f"Leave it out, or ask for at most {most}.",
    )
