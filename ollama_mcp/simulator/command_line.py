"""The simulator as a process: its command line, and running it until a signal arrives."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ollama_mcp.simulator.faults import Fault, parse_fault
from ollama_mcp.simulator.go_json import as_list, as_object
from ollama_mcp.simulator.scheduler import Latency
from ollama_mcp.simulator.server import Simulator

_LAST_PORT = 65_535


async def run(simulator: Simulator) -> None:
    """Run a simulator until SIGTERM or SIGINT; the first line on standard output is its URL."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:
            # Windows event loops have no signal handlers; Ctrl-C raises KeyboardInterrupt.
            break
    async with simulator:
        sys.stdout.write(f"{simulator.url}\n")
        # The parent process waits for this line, and output to a pipe is buffered.
        sys.stdout.flush()
        await stopped.wait()


def main(arguments: Sequence[str] | None = None, *, program: str = "python -m ollama_mcp.simulator") -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: None takes those of the process.
        program: Name of the command in messages.
    """
    options = _parser(program).parse_args(arguments)
    try:
        simulator = Simulator(
            options.version,
            options.models.split(",") if options.models else None,
            host=options.host,
            port=options.port,
            latency=Latency(load=options.load, token=options.latency, transfer=options.transfer),
            faults=_load_faults(options.faults) if options.faults else (),
        )
        asyncio.run(run(simulator))
    # Where signals have no handlers, Ctrl-C is the normal way to stop.
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{program}: {error}\n")
        return 2
    return 0


def _load_faults(path: Path) -> list[Fault]:
    try:
        rules = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from None
    return [parse_fault(as_object(entry)) for entry in (as_list(rules) if isinstance(rules, list) else [rules])]


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: use 0 (a free one) to {_LAST_PORT}")
    return int(text)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="An Ollama without models.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=11435, help="port to listen on; 0 selects a free one")
    parser.add_argument("--version", help="version of Ollama to simulate, such as 0.17.7, or latest")
    parser.add_argument("--models", help="names or kinds, separated by commas: chat,thinking,vision,audio,embed")
    parser.add_argument("--latency", type=float, default=0.03, help="seconds per token")
    parser.add_argument("--load", type=float, default=0.5, help="seconds to load a model")
    parser.add_argument("--transfer", type=float, default=5e8, help="bytes per second of a pull")
    parser.add_argument("--faults", type=Path, help="JSON file with a list of fault rules")
    return parser
