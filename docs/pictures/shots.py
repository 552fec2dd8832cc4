"""What the program prints now, on the simulator: the text of each picture of a terminal."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shlex
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from mcp import Client, StdioServerParameters
from mcp.shared.dispatcher import ProgressFnT
from mcp.types import CallToolResult, TextContent
from rich.console import Console
from rich.text import Text

from ollama_mcp.cli.demo import demo_settings, import_path
from ollama_mcp.cli.demo_answers import verdicts
from ollama_mcp.cli.demo_steps import LETTERS, Demo
from ollama_mcp.simulator import Simulator
from ollama_mcp.simulator.scheduler import Latency

WIDTH = 96
_PROGRAM = (sys.executable, "-m", "ollama_mcp")
_SHOWN_STEPS = ("What is installed", "Hand over a file", "Label the rows of a CSV", "A mistake gets")
_STEP = re.compile(r"\d+\. (.*)")
_QUESTIONS = '[{"question": "Is it a complaint?", "name": "complaint"}]'
# A pace at which a person can follow.
_SEEN = Latency(load=1.0, token=0.02, transfer=1e8)


async def demo_shot() -> str:
    """Some steps of the demo."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor", force_terminal=False)
    await _demo(console, None)
    shown, lines = False, list[str]()
    for line in console.export_text(styles=True).splitlines():
        if step := _STEP.match(Text.from_ansi(line).plain):
            shown = step[1].startswith(_SHOWN_STEPS)
        lines += [line] if shown else []
    return "\n".join(lines)


async def demo_cast() -> list[tuple[float, str]]:
    """The whole demo as a terminal shows it: each piece of output, and the seconds since the beginning."""
    pieces: list[tuple[float, str]] = []
    start: float | None = None

    class Recorder(io.StringIO):
        def write(self, text: str, /) -> int:
            nonlocal start
            start = time.monotonic() if start is None else start
            if text:
                pieces.append((time.monotonic() - start, text.replace("\n", "\r\n")))
            return len(text)

    console = Console(file=Recorder(), width=WIDTH, height=30, force_terminal=True, color_system="256")
    await _demo(console, _SEEN)
    return pieces


async def doctor_shot() -> str:
    """`doctor` in an empty home, with an Ollama that answers."""
    with _home() as home:
        async with Simulator() as simulator:
            said = await _run(home, simulator.url, "doctor")
    # Which system made the picture is nobody's matter.
    said = re.sub(r"\b(Linux|Darwin|Windows) \S+", r"\1", said)
    return _typed("ollama-mcp-server doctor") + "\n" + re.sub(r"(?m)^ok\b", "\x1b[32mok\x1b[0m", said)


async def batch_shot() -> str:
    """A batch from the shell, and the table that it writes."""
    words = ["batch", "mails.csv", "--questions", _QUESTIONS, "-o", "labels.csv"]
    with _home() as home:
        _write_letters(home / "mails")
        async with Simulator() as simulator:
            simulator.script("llama3.2:3b", *verdicts())
            said = await _run(home, simulator.url, *words, "-m", "llama3.2:3b", OLLAMA_MCP_WORK__PARALLEL="1")
        table = (home / "mails/labels.csv").read_text(encoding="utf-8").strip()
    command = " ".join(["ollama-mcp-server", *map(shlex.quote, words)])
    return "\n".join([_typed(command), said.strip(), "", _typed("cat labels.csv"), table])


async def _demo(console: Console, pace: Latency | None) -> None:
    with _home() as home:
        _write_letters(home / "mails")
        async with Simulator(version="latest", latency=pace or Latency()) as simulator:
            failed = await _demo_on(simulator, home, console)
    if failed:
        raise RuntimeError(f"{failed} steps of the demo failed")


async def _demo_on(simulator: Simulator, home: Path, console: Console) -> int:
    server = StdioServerParameters(
        command=_PROGRAM[0],
        args=[*_PROGRAM[1:], "--no-cache"],
        env={**_variables(home, simulator.url), **demo_settings(home / "mails/letters.txt", real=False)},
        cwd=home / "mails",
    )
    async with Client(server, mode="legacy") as client:
        shown = cast("Client", _Renaming(client, {str(home): "~", simulator.url: "http://127.0.0.1:11434"}))
        # By its name, from the folder of the server.
        return await Demo(console, shown, Path("letters.txt"), simulator, asks=False).run()


class _Renaming:
    """A client whose results name no folder and port of this machine."""

    def __init__(self, client: Client, names: dict[str, str]) -> None:
        self._client, self._names = client, names

    async def call_tool(self, name: str, arguments: dict[str, Any], progress_callback: ProgressFnT) -> CallToolResult:
        result = await self._client.call_tool(name, arguments, progress_callback=progress_callback)
        for block in result.content:
            if isinstance(block, TextContent):
                block.text = _renamed(block.text, self._names)
        return result


@contextmanager
def _home() -> Generator[Path]:
    """An empty home with a folder in it that is a project."""
    with TemporaryDirectory(prefix="pictures-") as folder:
        home = Path(folder).resolve()
        (home / "mails/.git").mkdir(parents=True)
        yield home


def _write_letters(folder: Path) -> None:
    texts = LETTERS.strip().split("\n\n")
    (folder / "letters.txt").write_text(LETTERS, encoding="utf-8")
    for number, text in enumerate(texts, start=1):
        (folder / f"letter-{number}.txt").write_text(text, encoding="utf-8")
    rows = ["text", *(text.splitlines()[1] for text in texts)]
    for name in ("mails.csv", "letters.csv"):
        (folder / name).write_text("\n".join(f'"{row}"' for row in rows) + "\n", encoding="utf-8")


def _variables(home: Path, url: str) -> dict[str, str]:
    """Nothing of the person's own."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "USERPROFILE": str(home), "OLLAMA_HOST": url, "PYTHONPATH": import_path()}


async def _run(home: Path, url: str, *words: str, **variables: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *_PROGRAM,
        *words,
        cwd=home / "mails",
        env={**_variables(home, url), "COLUMNS": str(WIDTH), **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 200)
    return _renamed(said.decode(), {str(home): "~", url: "http://127.0.0.1:11434"})


def _renamed(text: str, names: dict[str, str]) -> str:
    for name, shown in names.items():
        text = text.replace(name, shown).replace(name.removeprefix("http://"), shown.removeprefix("http://"))
    return text


def _typed(command: str) -> str:
    return f"\x1b[1;36m$ \x1b[0;1m{command}\x1b[0m"
