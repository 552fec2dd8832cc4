"""`ollama-mcp-server allow FOLDER`: allow reading from a folder."""

from __future__ import annotations

import argparse

from ollama_mcp.access import allow


def run(options: argparse.Namespace) -> int:
    """Add the folder to the list that every running server of this user reads anew."""
    print(allow(options.folder))
    return 0
