"""`ollama-mcp-server allow FOLDER`: allow reading from a folder."""

from __future__ import annotations

import argparse

from ollama_mcp.access import allow, default_file
from ollama_mcp.cli.settings import load


def run(options: argparse.Namespace) -> int:
    """Add the folder to the config file in use, or to the user's own list; running servers take it up at once."""
    file = load(options).config_file or default_file()
    folder = allow(options.folder, file=file)
    print(f"{folder} may be read now, with all below it but what is hidden ({file}).")
    return 0
