"""The part that generate and chat share: load the model, let it answer, send the answer."""

from __future__ import annotations

import time
from dataclasses import replace

from ollama_mcp.simulator import mind
from ollama_mcp.simulator.answers import Answer, Plan, plan_of
from ollama_mcp.simulator.capabilities import is_native
from ollama_mcp.simulator.machine import Machine
from ollama_mcp.simulator.reply import Reply
from ollama_mcp.simulator.routes.sending import Sending
from ollama_mcp.simulator.routes.turn import Turn
from ollama_mcp.simulator.settings import context_length, load_options

_REPEATED = "prediction aborted, token repeat limit reached"
_GUARD_OLD, _GUARD_NEW = 30, 100


async def respond(machine: Machine, reply: Reply, turn: Turn) -> None:
    """Load the model, let it answer, send the answer.

    Raises:
        Failure: The queue is full, or a script says that the runner fails.
    """
    ask = turn.ask
    started = time.perf_counter_ns()
    context = context_length(ask.model, ask.options)
    loaded = load_options(ask.options, context, turn.shift if machine.generation.native_templates else True)
    async with machine.scheduler.use(ask.model, loaded, context, turn.keep_alive) as (_, load_nanoseconds):
        script = machine.scripts.take(ask.model.name.short)
        plan = plan_of(script) if script is not None else mind.answer(ask)
        if script is None:
            plan.cut(_limit(turn, context))
        plan = _guarded(machine, turn, plan)
        sending = Sending(machine, reply, turn, plan, started, load_nanoseconds)
        await sending.run()


def _guarded(machine: Machine, turn: Turn, plan: Plan) -> Plan:
    """The plan, broken off where Ollama takes it for an endless repetition; the native chat has no such guard."""
    if turn.kind == "chat" and is_native(turn.ask.model, machine.generation):
        return plan
    as_error = machine.generation.repeat_guard_is_error
    # A script is guarded too: that is how a test makes a model repeat itself.
    if plan.guard(_GUARD_NEW if as_error else _GUARD_OLD):
        script = plan.script or Answer()
        plan.script = replace(script, error=_REPEATED) if as_error else replace(script, no_done=True)
    return plan


def _limit(turn: Turn, context: int) -> int:
    wanted = int(turn.ask.options.get("num_predict", -1))
    if wanted == 0:
        return 1 if turn.kind == "chat" else 10 * context
    return 10 * context if wanted < 0 else min(wanted, 10 * context)
