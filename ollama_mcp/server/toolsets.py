"""Which of the loaded tools are offered: by toolset and by name, less exclusions. Read-only wins over all of them."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from ollama_mcp.errors import InvalidArgument, NotAllowed
from ollama_mcp.server.registry import ToolSpec
from ollama_mcp.settings import Settings, SettingsError
from ollama_mcp.settings.model import DEFAULT_TOOLSETS, TOOLSETS

# The tools that cannot work under a setting of `network`.
_WITHOUT_NETWORK: dict[str, frozenset[str]] = {
    "full": frozenset(),
    "registry": frozenset(("ollama_push_model",)),
    "off": frozenset(("ollama_push_model", "ollama_pull_model")),
}


def enabled_toolsets(settings: Settings, *, cloud_key: bool) -> set[str]:
    """The toolsets that the settings enable, with `default` and `all` expanded.

    Raises:
        SettingsError: A toolset does not exist; suggests the closest name.
    """
    chosen: set[str] = set()
    for name in settings.tools.toolsets:
        if name == "all":
            chosen |= set(TOOLSETS)
        elif name == "default":
            chosen |= set(DEFAULT_TOOLSETS) | ({"web"} if cloud_key or settings.web else set())
        elif name in TOOLSETS:
            chosen.add(name)
        else:
            raise _unknown_name("tools.toolsets", "toolset", name, [*TOOLSETS, "default", "all"])
    return chosen if settings.network == "full" else chosen - {"web"}


def select_tools(specs: dict[str, ToolSpec], settings: Settings, *, cloud_key: bool) -> dict[str, ToolSpec]:
    """The offered tools, in the order of `specs`.

    Raises:
        SettingsError: A toolset or tool does not exist; suggests the closest name.
    """
    toolsets = enabled_toolsets(settings, cloud_key=cloud_key)
    named = (
        ("tools.include", settings.tools.include),
        ("tools.exclude", settings.tools.exclude),
        ("tools.always_load", settings.tools.always_load),
    )
    for setting, names in named:
        for name in names:
            if name not in specs:
                raise _unknown_name(setting, "tool", name, list(specs))
    # Toolsets of the user's own tool files, which are enabled by the setting that names their folder.
    custom = {spec.toolset for spec in specs.values()} - set(TOOLSETS)
    without = _WITHOUT_NETWORK[settings.network]
    if settings.network != "full":
        without |= {name for name, spec in specs.items() if spec.toolset == "web"}
    return {
        name: spec
        for name, spec in specs.items()
        if name not in without
        and (spec.toolset in toolsets or spec.toolset in custom or name in settings.tools.include)
        and name not in settings.tools.exclude
        and (spec.hints.read_only or spec.hints.only_writes_output or not settings.read_only)
    }


def not_offered(name: str, known: Collection[str], offered: Collection[str]) -> InvalidArgument | NotAllowed:
    """The error for a tool that the settings leave out, or that does not exist."""
    if name in known:
        return NotAllowed(
            f"{name} is not offered by this server's settings.",
            next_step="The user can change read_only, network, tools.toolsets, tools.include or tools.exclude.",
        )
    close = difflib.get_close_matches(name, list(offered), n=1)
    hint = f"Did you mean {close[0]}?" if close else "tools/list names the offered tools."
    return InvalidArgument(f"Unknown tool: {name[:80]!r}.", next_step=hint)


def _unknown_name(setting: str, kind: str, name: str, known: Collection[str]) -> SettingsError:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Available: {', '.join(known)}."
    return SettingsError(f"setting {setting} names the {kind} {name!r}, which does not exist.", next_step=hint)
