"""The command line: `ollama-mcp-server [serve]` and the other commands of `--help`.

What is imported at the top is all that stands between a host and its first answer, so it is a little of the standard
library and `front`.
"""

from __future__ import annotations

import importlib
import os
import sys

from ollama_mcp.front import open_front

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ollama_mcp.front import Serve

# The module and the function of each command; "simulate" is a program of its own.
COMMANDS = {
    "serve": ("serve", "serve"),
    "warm": ("warm", "warm"),
    "demo": ("demo", "demo"),
    "tune": ("tune", "tune"),
    "worker": ("worker", "worker"),
    "store": ("store", "store"),
    "config": ("config", "config"),
    "allow": ("config", "allow"),
    "tools": ("tools", "list_tools"),
    "call": ("tools", "call_tool"),
    "token": ("token", "token"),
    "install": ("install", "install"),
    "update": ("install", "update"),
    "uninstall": ("install", "uninstall"),
    "doctor": ("doctor", "doctor"),
    "ask": ("ask", "ask"),
    "batch": ("work", "batch"),
    "search": ("search", "search"),
    "decide": ("work", "decide"),
    "compare": ("work", "compare"),
    "jobs": ("jobs", "jobs"),
    "usage": ("jobs", "usage"),
    "evaluate": ("evaluate", "evaluate"),
    "models": ("tools", "models"),
    "ledger": ("ledger", "ledger"),
    "completion": ("completion", "completion"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0, 1 for a failure, 2 for wrong use or a wrong setting.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["simulate"]:
        # Before our own parser, which would refuse the simulator's options.
        from ollama_mcp.simulator.command_line import main as simulate

        return simulate(arguments[1:], program="ollama-mcp-server simulate")
    front = open_front(arguments)
    try:
        try:
            return _run(arguments) if front is None else front.serve(lambda: _prepare(arguments))
        finally:
            # Short output meets a closed pipe only here, and else at exit, where it would be an error.
            if sys.stdout is not None and not sys.stdout.closed:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough; what is left must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        from ollama_mcp.errors import OllamaMCPError

        if not isinstance(error, OllamaMCPError):
            raise
        from ollama_mcp.cli.output import wrong_use

        wrong_use(error, arguments)
        return 2


def _run(arguments: list[str]) -> int:
    # `warm` takes what a host gives to the server after it.
    is_warm = arguments[:1] == ["warm"]
    options = _parsed(arguments[1:] if is_warm else arguments)
    module, function = COMMANDS["warm" if is_warm else options.command]
    # Imported only now: serving must not pay for the demo's tables.
    return getattr(importlib.import_module(f"ollama_mcp.cli.{module}"), function)(options)


def _prepare(arguments: list[str]) -> Serve:
    from ollama_mcp.cli.serve import prepare

    return prepare(_parsed(arguments))


def _parsed(arguments: list[str]) -> argparse.Namespace:
    from ollama_mcp.cli.options import build_parser

    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    elif arguments[:1] == ["version"]:
        arguments = ["--version"]
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    words = getattr(options, "takes_words", "")
    if rest and (not words or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        # argparse takes words before an option or after it, not both.
        setattr(options, words, [*getattr(options, words), *rest])
    options.command_line = arguments
    return options
