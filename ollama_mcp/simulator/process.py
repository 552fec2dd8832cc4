"""The simulator as a process of its own: prints its URL, runs until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ollama_mcp.simulator.encoding import as_list, as_object
from ollama_mcp.simulator.faults import Fault, fault_of
from ollama_mcp.simulator.runner import Latency
from ollama_mcp.simulator.server import Simulator

_LAST_PORT = 65_535


async def run(simulator: Simulator) -> None:
    """Run a simulator until SIGTERM or SIGINT; the first line on standard output is its URL."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, ended.set)
        except NotImplementedError:
            # Windows: the loop takes no handlers; Ctrl-C arrives as KeyboardInterrupt.
            break
    async with simulator:
        sys.stdout.write(f"{simulator.url}\n")
        # Whoever started this process waits for that line, and a pipe would hold it back.
        sys.stdout.flush()
        await ended.wait()


def main(arguments: Sequence[str] | None = None, *, program: str = "python -m ollama_mcp.simulator") -> int:
    """The command line; the exit code.

    Args:
        arguments: Those of the process where None.
        program: What its messages call the command.
    """
    given = _parser(program).parse_args(arguments)
    try:
        simulator = Simulator(
            given.version,
            given.models.split(",") if given.models else None,
            host=given.host,
            port=given.port,
            latency=Latency(load=given.load, token=given.latency, transfer=given.transfer),
            faults=_faults(given.faults) if given.faults else (),
        )
        asyncio.run(run(simulator))
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{program}: {error}\n")
        return 2
    return 0


def _faults(path: Path) -> list[Fault]:
    try:
        rules = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
    return [fault_of(as_object(entry)) for entry in (as_list(rules) if isinstance(rules, list) else [rules])]


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 (a free one) to {_LAST_PORT}")
    return int(text)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="An Ollama without models.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=11435, help="0 takes a free one")
    parser.add_argument("--version", help="version of Ollama to play, such as 0.17.7, or latest")
    parser.add_argument("--models", help="names or kinds, with commas between: chat,thinking,vision,audio,embed")
    parser.add_argument("--latency", type=float, default=0.03, help="seconds per token")
    parser.add_argument("--load", type=float, default=0.5, help="seconds to load a model")
    parser.add_argument("--transfer", type=float, default=5e8, help="bytes per second of a pull")
    parser.add_argument("--faults", type=Path, help="JSON file with a list of fault rules")
    return parser
