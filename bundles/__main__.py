"""Writes the extension of Claude Desktop into dist/; `--release` refuses while the address is a placeholder.

python -m bundles [--release]
"""

from __future__ import annotations

import asyncio
import sys

from bundles.desktop import ROOT, desktop_manifest, write_desktop_extension
from ollama_mcp._project import REPOSITORY, has_placeholder


def main() -> int:
    """Write it, or say why not."""
    if "--release" in sys.argv[1:] and has_placeholder():
        print(f"{REPOSITORY} is a placeholder: set OWNER in ollama_mcp/_project.py before a release.", file=sys.stderr)  # noqa: T201
        return 1
    print(write_desktop_extension(ROOT / "dist", asyncio.run(desktop_manifest())))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
