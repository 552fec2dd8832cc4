"""The control endpoints under /_simulator/: faults, scripts, settings, state and request log, for other processes."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any, get_args

from ollama_mcp.simulator.answers import Answer
from ollama_mcp.simulator.faults import parse_fault
from ollama_mcp.simulator.go_json import Object, as_list, as_object, timestamp
from ollama_mcp.simulator.http import HttpRequest
from ollama_mcp.simulator.machine import AccountState
from ollama_mcp.simulator.response import ResponseWriter

if TYPE_CHECKING:
    from ollama_mcp.simulator.server import Simulator


async def serve(simulator: Simulator, request: HttpRequest, response: ResponseWriter) -> None:
    """Serve a control request; 400 with the reason if it is invalid."""
    try:
        _serve(simulator, request, response)
    except (TypeError, ValueError) as error:
        response.json({"error": str(error)}, 400)


def _serve(simulator: Simulator, request: HttpRequest, response: ResponseWriter) -> None:
    # Strict, unlike the API of Ollama: a typo in a test must not go unnoticed.
    body: Any = json.loads(request.body) if request.body else {}
    match request.method, request.path.removeprefix("/_simulator/"):
        case "GET", "faults":
            response.json([asdict(rule) for rule in simulator.faults.rules])
        case "POST", "faults":
            rules = [parse_fault(as_object(entry)) for entry in (as_list(body) or [body])]
            simulator.faults.add(*rules)
            response.json([asdict(rule) for rule in rules], 201)
        case "DELETE", "faults":
            simulator.faults.clear()
            response.send(204)
        case "GET", "state":
            response.json(_state(simulator))
        case "GET", "requests":
            response.json([entry.to_json() for entry in simulator.requests])
        case "DELETE", "requests":
            simulator.log.clear()
            response.send(204)
        case "POST", "script":
            answers = [parse_answer(as_object(entry)) for entry in as_list(as_object(body).get("answers"))]
            simulator.script(str(as_object(body).get("model", "*")), *answers)
            response.json({"scripted": len(answers)}, 201)
        case "DELETE", "script":
            simulator.scripts.clear()
            response.send(204)
        case "POST", "settings":
            settings = as_object(body)
            for model, accuracy in as_object(settings.pop("accuracy", None)).items():
                simulator.set_accuracy(model, accuracy)
            _change_settings(simulator, settings)
            response.send(204)
        case "POST", "release":
            simulator.release(str(as_object(body).get("hold", "")))
            response.send(204)
        case _:
            response.json(
                {"error": "Unknown control endpoint; known: faults, script, release, settings, state, requests."}, 404
            )


def _change_settings(simulator: Simulator, data: Object) -> None:
    """Change the account, the registry, the latency, or the default keep-alive.

    Raises:
        ValueError: A setting or field is unknown.
    """
    machine = simulator.machine
    for name, value in data.items():
        match name:
            case "account" if value in get_args(AccountState):
                machine.account = value
            case "keep_alive" if isinstance(value, int | float):
                machine.scheduler.keep_alive = float(value)
            case "latency" if isinstance(value, dict):
                machine.latency = machine.scheduler.latency = replace(machine.latency, **as_object(value))
            case "registry" if isinstance(value, dict) and set(as_object(value)) <= {"up", "disk_free", "stalled"}:
                for key, part in as_object(value).items():
                    setattr(machine.registry, key, part)
            case _:
                raise ValueError(f"Unknown setting or invalid value: {name!r} = {value!r}.")


def parse_answer(data: Object) -> Answer:
    """A scripted answer from JSON.

    Raises:
        ValueError: A field is unknown.
    """
    known = {entry.name for entry in fields(Answer)}
    if unknown := set(data) - known:
        raise ValueError(f"An answer has no field {sorted(unknown)[0]!r}; known: {', '.join(sorted(known))}.")
    return Answer(**data)


def _state(simulator: Simulator) -> Object:
    machine = simulator.machine
    return {
        "version": machine.reported_version,
        "models": [model.name.short for model in machine.store.listed()],
        "running": [
            {"model": runner.model.name.short, "active": runner.active, "expires_at": timestamp(runner.expires)}
            for runner in machine.scheduler.running()
        ],
        "loads": machine.scheduler.loads,
        "requests": simulator.log.total,
        "in_flight": [entry.to_json() for entry in simulator.in_flight],
        "disconnects": [
            {"path": entry.request.path, "milliseconds": round(entry.milliseconds, 3), "lines": entry.lines}
            for entry in simulator.disconnects
        ],
    }
