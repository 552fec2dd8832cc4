"""The simulator's own endpoints under /_simulator/: faults, scripts, state and log, for tests in other processes."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, get_args

from ollama_mcp.simulator.answers import Answer
from ollama_mcp.simulator.encoding import Object, as_list, as_object, timestamp
from ollama_mcp.simulator.faults import described, fault_of
from ollama_mcp.simulator.http import Request
from ollama_mcp.simulator.machine import Account
from ollama_mcp.simulator.reply import Reply

if TYPE_CHECKING:
    from ollama_mcp.simulator.server import Simulator


async def serve(simulator: Simulator, request: Request, reply: Reply) -> None:
    """Serve a control request; 400 with the reason where it makes no sense."""
    try:
        _serve(simulator, request, reply)
    except (TypeError, ValueError) as error:
        reply.json({"error": str(error)}, 400)


def _serve(simulator: Simulator, request: Request, reply: Reply) -> None:
    # Unlike the API of Ollama this one is strict: a typing error in a test should be seen.
    body: Any = json.loads(request.body) if request.body else {}
    match request.method, request.path.removeprefix("/_simulator/"):
        case "GET", "faults":
            reply.json([described(rule) for rule in simulator.faults.rules])
        case "POST", "faults":
            rules = [fault_of(as_object(entry)) for entry in (as_list(body) or [body])]
            simulator.faults.add(*rules)
            reply.json([described(rule) for rule in rules], 201)
        case "DELETE", "faults":
            simulator.faults.clear()
            reply.send(204)
        case "GET", "state":
            reply.json(_state(simulator))
        case "GET", "requests":
            reply.json([seen.as_json() for seen in simulator.requests])
        case "DELETE", "requests":
            simulator.log.clear()
            reply.send(204)
        case "POST", "script":
            answers = [answer_of(as_object(entry)) for entry in as_list(as_object(body).get("answers"))]
            simulator.script(str(as_object(body).get("model", "*")), *answers)
            reply.json({"scripted": len(answers)}, 201)
        case "DELETE", "script":
            simulator.scripts.clear()
            reply.send(204)
        case "POST", "settings":
            _set(simulator, as_object(body))
            reply.send(204)
        case "POST", "release":
            simulator.release(str(as_object(body).get("hold", "")))
            reply.send(204)
        case _:
            reply.json({"error": "The simulator has faults, script, release, settings, state and requests here."}, 404)


def _set(simulator: Simulator, given: Object) -> None:
    """Change the account, the registry, the latency, or how long models stay.

    Raises:
        ValueError: An unknown setting or field.
    """
    machine = simulator.machine
    for name, value in given.items():
        match name:
            case "account" if value in get_args(Account):
                machine.account = value
            case "keep_alive" if isinstance(value, int | float):
                machine.scheduler.keep_alive = float(value)
            case "latency" if isinstance(value, dict):
                machine.latency = machine.scheduler.latency = replace(machine.latency, **as_object(value))
            case "registry" if isinstance(value, dict) and set(as_object(value)) <= {"up", "disk_free", "stalled"}:
                for key, part in as_object(value).items():
                    setattr(machine.registry, key, part)
            case _:
                raise ValueError(f"There is no setting {name!r} with the value {value!r}.")


def answer_of(given: Object) -> Answer:
    """A scripted answer from JSON.

    Raises:
        ValueError: An unknown field.
    """
    known = {entry.name for entry in fields(Answer)}
    if unknown := set(given) - known:
        raise ValueError(f"An answer has no field {sorted(unknown)[0]!r}; known: {', '.join(sorted(known))}.")
    return Answer(**given)


def _state(simulator: Simulator) -> Object:
    machine = simulator.machine
    return {
        "version": machine.reported,
        "models": [model.name.short for model in machine.store.listed()],
        "running": [
            {"model": runner.model.name.short, "active": runner.active, "expires_at": timestamp(runner.expires)}
            for runner in machine.scheduler.running()
        ],
        "loads": machine.scheduler.loads,
        "requests": simulator.log.total,
        "in_flight": [seen.as_json() for seen in simulator.in_flight],
        "disconnects": [
            {"path": gone.request.path, "milliseconds": round(gone.milliseconds, 3), "lines": gone.lines}
            for gone in simulator.disconnects
        ],
    }
