"""Names that end in `:cloud` or `-cloud`: the server passes such a request on to ollama.com by its own account."""

from __future__ import annotations

from ollama_mcp.formats.names import parse_name
from ollama_mcp.simulator.failures import Failure
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.routes.account import check_cloud
from ollama_mcp.simulator.store import Model


def find_model(machine: Machine, wanted: str, path: str, *, pull_hint: bool = False) -> tuple[Model, str]:
    """The model of a request, and the name that its answer carries: of a cloud model the name there.

    Raises:
        Failure: 400 no name, 404 not installed, and for a cloud model what stands between this server and the cloud.
    """
    lowered = wanted.strip().lower()
    # The common case first: this is asked for every request.
    if not machine.generation.trims_names or ("cloud" not in lowered and not lowered.endswith(":local")):
        return machine.model(wanted, pull_hint=pull_hint), wanted
    if lowered.endswith((":cloud:local", ":local:cloud")):
        raise Failure(400, f'use either :local or :cloud, not both: "{wanted}"')
    if lowered.endswith(":local"):
        return machine.model(wanted[: -len(":local")], pull_hint=pull_hint), wanted
    if not machine.name(wanted).is_cloud:
        return machine.model(wanted, pull_hint=pull_hint), wanted
    what = "remote model details are unavailable" if path == "/api/show" else "remote model is unavailable"
    check_cloud(machine, what, path)
    base = base_name(wanted)
    model = machine.cloud.find(base)
    if model is None:
        raise Failure(404, f"model '{base}' not found")
    return model, base


def base_name(wanted: str) -> str:
    """The name of a cloud model on ollama.com: "qwen3:cloud" is "qwen3", "gpt-oss:20b-cloud" is "gpt-oss:20b"."""
    name = parse_name(wanted)
    tag = name.tag[: -len("-cloud")] if name.tag.lower().endswith("-cloud") else ""
    short = name.short.rsplit(":", 1)[0]
    return f"{short}:{tag}" if tag else short
