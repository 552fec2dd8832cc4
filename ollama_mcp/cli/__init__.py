"""The command line: `ollama-mcp-server [serve]`, demo, config, tools, call, simulate, allow."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from ollama_mcp.cli.parser import build_parser
from ollama_mcp.errors import OllamaMCPError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0, 1 for a failure, 2 for wrong use or a wrong setting."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["simulate"]:
        # The simulator is a program of its own, with its own options.
        from ollama_mcp.simulator.process import main as simulate

        return simulate(given[1:], program="ollama-mcp-server simulate")
    options = build_parser().parse_args(given)
    # Each command lives in its own module, imported only now: serving must not pay for the demo's tables.
    module = importlib.import_module(f"ollama_mcp.cli.{options.command}")
    try:
        return module.run(options)
    except OllamaMCPError as error:
        print(f"ollama-mcp-server: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough; what is left must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
