"""The command line: `ollama-mcp-server [serve]`, demo, config, allow, tools, call, simulate."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from ollama_mcp.cli.options import build_parser
from ollama_mcp.errors import OllamaMCPError

# The module and the function of each command; "simulate" is a program of its own.
_COMMANDS = {
    "serve": ("serve", "serve"),
    "demo": ("demo", "demo"),
    "config": ("config", "config"),
    "allow": ("config", "allow"),
    "tools": ("tools", "list_tools"),
    "call": ("tools", "call_tool"),
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
    options = build_parser().parse_args(arguments)
    module, function = _COMMANDS[options.command]
    try:
        # Imported only now: serving must not pay for the demo's tables.
        return getattr(importlib.import_module(f"ollama_mcp.cli.{module}"), function)(options)
    except OllamaMCPError as error:
        print(f"ollama-mcp-server: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough; what is left must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
