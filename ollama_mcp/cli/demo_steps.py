"""The steps of the demo: each one a tool call with its arguments, its live progress and its result."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mcp import Client
from mcp.types import CallToolResult, TextContent
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from ollama_mcp.cli.demo_answers import COMPARED, NOVEL, PERSON, PICTURE, POEM, SKY, cited, verdicts
from ollama_mcp.server.results import META

if TYPE_CHECKING:
    from ollama_mcp.simulator import Answer, Simulator

PULLED_MODEL = "smollm2:135m"
_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
_TEXTS = ["The cat sleeps on the sofa.", "A cat naps on the couch.", "The stock market fell on Monday."]
_MAX_SHOWN_CHARS = 1_200
LETTERS = """From: Ada
The lamp came broken, for the second time. I want my money back.

From: Charles
Thank you for the quick delivery, the engine runs well.

From: Grace
How long is the warranty of the compiler?
"""


@dataclass
class Demo:
    """One run of the demo over a connected client.

    Args:
        console: Where it prints.
        client: The connected client.
        letters: A file to ask about; the demo writes beside it.
        simulator: The simulator that it runs on; None on a real Ollama.
        asks: Whether there is a terminal to ask the user on.
    """

    console: Console
    client: Client
    letters: Path
    simulator: Simulator | None
    asks: bool
    failed: int = 0
    step: int = 0

    async def run(self) -> int:
        """Run all steps in order and return how many failed."""
        await self.call("Is Ollama there?", "ollama_status")
        models = await self.call("What is installed?", "ollama_list_models", show=self._table)
        if await self.may_change(f"download {PULLED_MODEL}"):
            await self.call("Download a model, with progress", "ollama_pull_model", model=PULLED_MODEL)
        chat = self._smallest_with(models, "completion")
        if chat:
            await self.call("What can it do?", "ollama_show_model", model=chat)
            await self.call(
                "Ask it something; its words arrive as progress",
                "ollama_chat",
                model=chat,
                scripted={chat: [SKY]},
                prompt="Why is the sky blue? Two sentences.",
                think=False if "thinking" in self._capabilities(models, chat) else None,
                options={"num_predict": 80, "temperature": 0},
            )
            await self.call(
                "Typed data: the answer is checked against a JSON Schema",
                "ollama_chat",
                model=chat,
                scripted={chat: [PERSON]},
                prompt="Ada is 36 years old. Give her name and age as JSON.",
                format=_SCHEMA,
                options={"temperature": 0, "num_predict": 200},
            )
            await self._file_and_labels(chat, models)
            await self._compare(models)
            await self._jobs(chat)
        await self._ask_about_image(models)
        embedder = self._smallest_with(models, "embedding")
        if embedder:
            await self.call("How similar are these texts?", "ollama_embed", model=embedder, input=_TEXTS)
            await self.call(
                "Search files by meaning; the places go back into `files`",
                "ollama_search",
                model=embedder,
                query="I want my money back",
                files=[str(self.letters.with_name("letter-*.txt"))],
                k=1,
            )
        else:
            self.skip("embeddings", "no installed model has the capability 'embedding'")
        await self.call("A mistake gets a useful answer", "ollama_chat", expect_error=True, model="lama3", prompt="Hi")
        if chat and await self.may_change("unload the models"):
            await self.call("Free the memory", "ollama_unload_model", all=True)
        return self.failed

    async def call(
        self,
        title: str,
        tool: str,
        *,
        show: Any = None,
        expect_error: bool | None = False,
        scripted: Mapping[str, Sequence[Answer]] | None = None,
        **arguments: Any,
    ) -> CallToolResult:
        """Run one step: call the tool, show its progress, then its result.

        Args:
            title: What the step shows.
            tool: The tool.
            show: Renders a result for rich; a panel with its text by default.
            expect_error: Whether the step is meant to fail; None for one that may.
            scripted: The answers of the simulator's models, by name.
            arguments: Arguments of the call; None leaves one out.
        """
        self.step += 1
        if self.simulator is not None and scripted:
            # What an earlier step left must not answer this one.
            self.simulator.scripts.clear()
            for model, answers in scripted.items():
                self.simulator.script(model, *answers)
        arguments = {name: value for name, value in arguments.items() if value is not None}
        self.console.print(f"[bold cyan]{self.step}. {title}[/]")
        self.console.print(f"   [dim]{escape(tool)}({escape(_call_arguments(arguments))})[/]")
        started = time.monotonic()
        with self.console.status("...") as status:

            async def show_progress(progress: float, total: float | None, message: str | None) -> None:
                share = f"{progress / total:4.0%} " if total else ""
                status.update(f"{share}{escape((message or '')[-100:])}")

            result = await self.client.call_tool(tool, arguments, progress_callback=show_progress)
        seconds = time.monotonic() - started
        is_expected = expect_error is None or bool(result.is_error) == expect_error
        self.failed += not is_expected
        self.console.print(
            show(result) if show and is_expected else self._panel(result, is_expected=is_expected, seconds=seconds)
        )
        return result

    async def may_change(self, what: str) -> bool:
        """Whether the demo may change something: on the simulator always, else where the user agrees."""
        if self.simulator is not None:
            return True
        # In a pipe or a CI job nobody can agree.
        if not self.asks:
            self.skip(what, "it would change your Ollama, and there is no terminal to ask on")
            return False
        answer = self.console.input(f"[yellow]May the demo {what} on your Ollama? [y/N] [/]")
        return answer.strip().lower() in ("y", "yes")

    def skip(self, what: str, why: str) -> None:
        """Print that a step is left out, and why."""
        self.console.print(f"[yellow]Skipped: {what} ({why}).[/]\n")

    async def _file_and_labels(self, chat: str, models: CallToolResult) -> None:
        """Calls that save an agent reading: a question about a file, labels for texts and for a table."""
        await self.call(
            "Hand over a file; the answer, a receipt and quotes that were looked up come back",
            "ollama_chat",
            model=chat,
            scripted={chat: [cited(str(self.letters))]},
            prompt="Who wants what? One sentence.",
            files=[str(self.letters)],
            cite=True,
            # A small model may not manage valid quotes, which is not a failure of the demo.
            expect_error=None if self.simulator is None else False,
            think=False if "thinking" in self._capabilities(models, chat) else None,
            options={"num_predict": 400, "temperature": 0},
        )
        await self.call(
            "Label texts, with probabilities",
            "ollama_decide",
            model=chat,
            scripted={chat: verdicts()},
            questions=[{"question": "Is it a complaint?"}],
            texts=LETTERS.split("\n\n"),
        )
        await self.call(
            "Label the rows of a CSV file into another one; no row passes the agent",
            "ollama_batch",
            model=chat,
            scripted={chat: verdicts()},
            input=[str(self.letters.with_suffix(".csv"))],
            questions=[{"question": "Is it a complaint?", "name": "complaint"}],
            output=str(self.letters.with_name("labels.csv")),
        )

    async def _compare(self, models: CallToolResult) -> None:
        """Compare the two smallest models that chat, where there are two."""
        capable = [row for row in _rows(models) if "completion" in row.get("capabilities", [])]
        local = sorted((row for row in capable if not row["name"].endswith("cloud")), key=lambda row: row["size_bytes"])
        if len(local) < 2:
            self.skip("comparison", "fewer than two models that chat are installed")
            return
        pair = [row["name"] for row in local[:2]]
        await self.call(
            "Compare two models: answers, speed, memory",
            "ollama_compare",
            models=pair,
            scripted={name: [answer] for name, answer in zip(pair, COMPARED, strict=True)},
            prompt="How long does it take to find a key in a hash table? One sentence.",
        )

    async def _jobs(self, chat: str) -> None:
        """Work that goes on after its call: one job is waited for, the other cancelled."""
        steps = (("Write a rhyme about letters.", POEM, "result"), ("Write a long story.", NOVEL, "cancel"))
        for prompt, answer, action in steps:
            begun = await self.call(
                "Begin work in the background",
                "ollama_chat",
                model=chat,
                scripted={chat: [answer]},
                prompt=prompt,
                background=True,
                options={"num_predict": 60 if action == "result" else 2_000, "temperature": 0},
            )
            job = cast("dict[str, Any]", (begun.meta or {}).get(f"{META}/job", {})).get("id", "")
            title = "Fetch its result" if action == "result" else "Cancel it; Ollama stops writing at once"
            if action == "cancel":
                # So that there is something to see of it.
                await asyncio.sleep(2)
            await self.call(title, "ollama_job", action=action, id=job)

    async def _ask_about_image(self, models: CallToolResult) -> None:
        vision_model = self._smallest_with(models, "vision")
        if not vision_model:
            self.skip("image question", "no installed model has the capability 'vision'")
            return
        await self.call(
            "Ask about an image",
            "ollama_chat",
            model=vision_model,
            scripted={vision_model: [PICTURE]},
            prompt="What is in this picture?",
            images=[_picture()],
            options={"num_predict": 60, "temperature": 0},
        )

    def _table(self, result: CallToolResult) -> Table:
        table = Table("name", "size", "context", "capabilities")
        for model in _rows(result):
            table.add_row(
                escape(model["name"]),
                f"{model['size_bytes'] / 1e9:.1f} GB",
                str(model.get("context_length", "")),
                " ".join(model.get("capabilities", [])),
            )
        return table

    def _panel(self, result: CallToolResult, *, is_expected: bool, seconds: float) -> Panel:
        blocks = [block.text.removesuffix("\n") for block in result.content if isinstance(block, TextContent)]
        if result.structured_content is not None and "value" in result.structured_content:
            blocks = [json.dumps(result.structured_content["value"], ensure_ascii=False)]
        text = "\n".join(blocks)
        style = "red" if not is_expected else "yellow" if result.is_error else "green"
        return Panel(
            escape(text[:_MAX_SHOWN_CHARS]), border_style=style, subtitle=f"{seconds:.2f} s", subtitle_align="right"
        )

    def _smallest_with(self, models: CallToolResult, capability: str) -> str:
        """The name of the smallest local model with a capability, or ""."""
        capable = [row for row in _rows(models) if capability in row.get("capabilities", [])]
        # Cloud models run on ollama.com, with the user's account.
        local = [row for row in capable if not row["name"].endswith("cloud")]
        return min(local, key=lambda row: row["size_bytes"])["name"] if local else ""

    def _capabilities(self, models: CallToolResult, name: str) -> list[str]:
        return [one for row in _rows(models) if row["name"] == name for one in row.get("capabilities", [])]


def _rows(result: CallToolResult) -> list[dict[str, Any]]:
    return cast("dict[str, Any]", result.structured_content or {}).get("models", [])


def _call_arguments(arguments: dict[str, Any]) -> str:
    parts = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return ", ".join(part if len(part) <= 100 else f"{part[:97]}..." for part in parts)


def _picture() -> str:
    """A red disc on a blue field, as base64 PNG."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (320, 240), "#2255aa")
    ImageDraw.Draw(picture).ellipse((90, 50, 230, 190), fill="#cc2222")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
