"""The MCP Inspector with our tools, in a headless Chromium: a picture, and the text in it that can be compared."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ollama_mcp.cli.demo import import_path
from ollama_mcp.simulator import Simulator
from tests import installed

HERE = Path(__file__).parent / "inspector"
_ADDRESS = re.compile(rb"http://127\.0\.0\.1:\d+\S*TOKEN=\w+")
_SECONDS = 200


async def inspector_shot(picture: Path) -> str:
    """Write the picture; what it shows of the tools, a line each.

    Raises:
        RuntimeError: There is no Chromium, or the Inspector or the browser failed.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise RuntimeError("Chromium is not installed (on Debian: apt install chromium), so there is no new picture.")
    packages = installed.from_npm(HERE)
    launcher = packages / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
    with TemporaryDirectory(prefix="inspector-") as home:
        async with Simulator() as simulator:
            environment = {"OLLAMA_HOST": simulator.url, "PYTHONPATH": import_path(), "HOME": home}
            server = {"command": sys.executable, "args": ["-m", "ollama_mcp"], "env": environment}
            config = Path(home) / "servers.json"
            config.write_text(json.dumps({"mcpServers": {"ollama": server}}), encoding="utf-8")
            variables = {"HOME": home, "MCP_AUTO_OPEN_ENABLED": "false", "CLIENT_PORT": _port(), "SERVER_PORT": _port()}
            inspector = await asyncio.create_subprocess_exec(
                *(installed.node(), launcher, "--web", "--config", config),
                env={**variables, "MCP_INSPECTOR_SECRET_STORE": "memory"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                said = await asyncio.wait_for(_photograph(inspector, packages, chromium, picture), _SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    inspector.terminate()
                await inspector.wait()
    return "\n".join(": ".join(tool) for tool in json.loads(said)) + "\n"


def _port() -> str:
    """A port that is free now; the Inspector takes no 0."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


async def _photograph(inspector: asyncio.subprocess.Process, packages: Path, chromium: str, picture: Path) -> bytes:
    assert inspector.stdout is not None
    page, said = None, b""
    while page is None:
        line = await inspector.stdout.readline()
        said += line
        if not line:
            raise RuntimeError(f"The Inspector did not start: {said.decode()[-1000:]}")
        page = _ADDRESS.search(line)
    browser = await asyncio.create_subprocess_exec(
        *(installed.node(), HERE / "shot.mjs", page[0].decode(), chromium, picture),
        cwd=packages,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await browser.communicate()
    if browser.returncode:
        raise RuntimeError("The browser failed.")
    return said
