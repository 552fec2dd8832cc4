"""The same prompt on several models, side by side."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel

from ollama_mcp import Call, Data, Hints, tool
from ollama_mcp.server.text import size, table
from ollama_mcp.server.types import ImageSources, OnlyWhere
from ollama_mcp.work.choosing import ModelHabits

if TYPE_CHECKING:
    from ollama_mcp.work.compare import Comparison, Trial
    from ollama_mcp.work.compare import Row as Found

# All answers together, in characters; one alone; and one among many, so that it still says something.
SHOWN_CHARS, LONGEST, SHORTEST = 12_000, 3_000, 300
WRITES = Hints(read_only=False, destructive=True, opens_with_urls=True, only_writes_output=True)


class Reply(BaseModel):
    """What a model answered to a prompt, shortened; or why it did not."""

    prompt: int
    text: str | None = None
    error: str | None = None


class Row(BaseModel):
    """What a model did."""

    model: str
    answered: int
    load_seconds: float | None = None
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    tokens: int | None = None
    memory_bytes: int | None = None
    gpu_percent: int | None = None
    notes: list[str] | None = None
    error: str | None = None
    answers: list[Reply] | None = None


class Compared(Data):
    """All models, in the order they were named."""

    prompts: int
    models: list[Row]
    notes: list[str] | None = None
    output: str | None = None

    def as_text(self) -> str:
        columns = ("model", "answers", "load s", "first token s", "tokens/s", "tokens", "memory", "GPU", "notes")
        parts = [table(columns, map(self._cells, self.models)), *(self.notes or [])]
        parts += [f"All answers: {self.output}"] if self.output else []
        for row in self.models:
            for reply in row.answers or []:
                place = f", prompt {reply.prompt}" if self.prompts > 1 else ""
                said = "\n".join(filter(None, (reply.error, reply.text)))
                parts.append(f"\n## {row.model}{place}\n{said}")
        return "\n".join(parts)

    def _cells(self, row: Row) -> list[object]:
        answers = f"{row.answered} of {self.prompts}" if self.prompts > 1 else None
        share = None if row.gpu_percent is None else f"{row.gpu_percent} %"
        said = " ".join([*([row.error] if row.error else []), *(row.notes or [])])
        figures = (row.load_seconds, row.first_token_seconds, row.tokens_per_second, row.tokens)
        return [row.model, answers, *figures, size(row.memory_bytes), share, said]


@tool(title="Compare models", toolset="work", hints=WRITES)
async def ollama_compare(
    call: Call,
    models: list[str],
    prompt: str = "",
    prompts_file: str = "",
    system: str = "",
    images: ImageSources = [],
    output: Annotated[str, OnlyWhere("read_only", on=False)] = "",
    overwrite: Annotated[bool, OnlyWhere("read_only", on=False)] = False,
    background: bool = False,
) -> Compared:
    """Compare models on a prompt or a file (.txt, .jsonl) of some: answers, speed, memory."""
    # Work is imported with the first call: a list of tools is to come at once.
    from ollama_mcp.work.compare import Order, compare

    order = Order(models, prompt, prompts_file, system, images, output, overwrite)
    # That a model was compared does not make it the one to use next.
    return _shown(await compare(replace(call, habits=ModelHabits()), order))


def _shown(found: "Comparison") -> Compared:
    count = len(found.prompts)
    longest = min(LONGEST, max(SHORTEST, SHOWN_CHARS // (count * len(found.rows))))
    shown = min(count, max(1, SHOWN_CHARS // (SHORTEST * len(found.rows))))
    rows = [_row(row, shown, longest) for row in found.rows]
    notes = list(found.notes)
    left_out = [f"Only the answers to the first {shown} of {count} prompts are shown."] if shown < count else []
    is_cut = any(len(_words(trial)) > longest for row in found.rows for trial in row.trials[:shown])
    left_out += ["Long answers end in '…'."] if is_cut else []
    if left_out and not found.path:
        left_out.append("output takes all of them in full.")
    return Compared(prompts=count, models=rows, notes=[*notes, *left_out] or None, output=found.path or None)


def _row(row: "Found", shown: int, longest: int) -> Row:
    first, speed, share = row.first_token_seconds, row.tokens_per_second, row.gpu_share
    problem = next((trial for trial in row.trials if trial.error is not None), None)
    replies = [_reply(trial, longest) for trial in row.trials[:shown] if trial is not problem or trial.text]
    return Row(
        model=row.model,
        answered=len(row.answered),
        load_seconds=row.load_seconds,
        first_token_seconds=None if first is None else round(first, 3),
        tokens_per_second=None if speed is None else round(speed, 1),
        tokens=row.tokens or None,
        memory_bytes=row.memory_bytes,
        gpu_percent=None if share is None else round(100 * share),
        notes=list(row.notes) or None,
        error=problem.problem if problem is not None else None,
        answers=replies or None,
    )


def _reply(trial: "Trial", longest: int) -> Reply:
    words = _words(trial)
    cut = words if len(words) <= longest else f"{words[:longest]}…"
    return Reply(prompt=trial.prompt, text=cut or None, error=trial.problem)


def _words(trial: "Trial") -> str:
    return trial.text.strip()
