"""Compare models on the same prompts."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from ollama_mcp import Call, Data, Hints, tool
from ollama_mcp.formats.escaping import indent
from ollama_mcp.server.formatting import format_bytes, format_notes, format_table
from ollama_mcp.server.types import Background, Images, RequiresSetting
from ollama_mcp.work.choosing import ModelHabits

if TYPE_CHECKING:
    from ollama_mcp.work.compare import Comparison, ModelResult, Trial

# Characters of all answers that are shown; and of one answer, at most and at least: fewer would say nothing.
TOTAL_CHARS, MAX_ANSWER_CHARS, MIN_ANSWER_CHARS = 12_000, 3_000, 300
WRITES = Hints(read_only=False, destructive=True, opens_with_urls=True, only_writes_output=True, restarts=True)


class Reply(BaseModel):
    """A model's answer to a prompt, shortened; or why there is none."""

    prompt: int
    text: str | None = None
    error: str | None = None


class ComparedModel(BaseModel):
    """A model's answers and figures."""

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
    models: list[ComparedModel]
    notes: list[str] | None = None
    output: str | None = None
    report: str | None = None

    def as_text(self) -> str:
        columns = ("model", "answers", "load s", "first token s", "tokens/s", "tokens", "memory", "GPU", "notes")
        parts = [format_table(columns, map(self._cells, self.models)), *format_notes(self.notes)]
        parts += [f"All answers: {self.output}"] if self.output else []
        parts += [f"Report: {self.report}"] if self.report else []
        for row in self.models:
            for reply in row.answers or []:
                place = f", prompt {reply.prompt}" if self.prompts > 1 else ""
                words = [indent(reply.text)] if reply.text else []
                parts.append(f"\n## {row.model}{place}")
                parts += [*format_notes([reply.error] if reply.error else []), *words]
        return "\n".join(parts)

    def _cells(self, row: ComparedModel) -> list[object]:
        answers = f"{row.answered} of {self.prompts}" if self.prompts > 1 else None
        share = None if row.gpu_percent is None else f"{row.gpu_percent} %"
        notes = " ".join([*([row.error] if row.error else []), *(row.notes or [])])
        figures = (row.load_seconds, row.first_token_seconds, row.tokens_per_second, row.tokens)
        return [row.model, answers, *figures, format_bytes(row.memory_bytes), share, notes]


@tool(title="Compare models", toolset="work", hints=WRITES)
async def ollama_compare(
    call: Call,
    models: Annotated[list[str], Field(description="2 to 20 model names.")],
    prompt: Annotated[str, Field(description="One prompt for all.")] = "",
    prompts_file: Annotated[str, Field(description="Several prompts: .txt lines, .jsonl, .json.")] = "",
    system: str = "",
    images: Images = [],
    output: Annotated[
        str, RequiresSetting("read_only", on=False), Field(description="Full answers: .json, .jsonl, .md.")
    ] = "",
    overwrite: Annotated[bool, RequiresSetting("read_only", on=False)] = False,
    report: Annotated[str, RequiresSetting("read_only", on=False), Field(description=".html.")] = "",
    background: Background = False,
) -> Compared:
    """Compare models on the same prompts: answers, speed, memory."""
    # Work is imported with the first call, so that listing the tools stays fast.
    from ollama_mcp.work.compare import ComparisonSpec

    spec = ComparisonSpec(models, prompt, prompts_file, system, images, output, overwrite)
    # With habits of its own: a model that was compared is not the one to use when the next call names none.
    call = replace(call, habits=ModelHabits())
    if not report:
        from ollama_mcp.work.compare import compare

        return _compared(await compare(call, spec))
    from ollama_mcp.work.report.run import compare_with_report

    return _compared(*await compare_with_report(call, spec, report))


def _compared(comparison: "Comparison", report: str = "") -> Compared:
    """The comparison with answers shortened, so that many of them do not fill the agent's context."""
    prompts, models = len(comparison.prompts), len(comparison.results)
    max_chars = min(MAX_ANSWER_CHARS, max(MIN_ANSWER_CHARS, TOTAL_CHARS // (prompts * models)))
    shown = min(prompts, max(1, TOTAL_CHARS // (MIN_ANSWER_CHARS * models)))
    rows = [_compared_model(result, shown, max_chars) for result in comparison.results]
    omissions = [f"Only the answers to the first {shown} of {prompts} prompts are shown."] if shown < prompts else []
    is_cut = any(
        len(trial.text.strip()) > max_chars for result in comparison.results for trial in result.trials[:shown]
    )
    omissions += ["Long answers end in '…'."] if is_cut else []
    if omissions and not comparison.path:
        omissions.append("Set output for a file with all answers in full.")
    notes = [*comparison.notes, *omissions]
    return Compared(
        prompts=prompts, models=rows, notes=notes or None, output=comparison.path or None, report=report or None
    )


def _compared_model(result: "ModelResult", shown: int, max_chars: int) -> ComparedModel:
    first, speed, share = result.first_token_seconds, result.tokens_per_second, result.gpu_share
    failed = next((trial for trial in result.trials if trial.error is not None), None)
    # The first error is in the row itself; its trial is listed only for an answer that broke off.
    replies = [_reply(trial, max_chars) for trial in result.trials[:shown] if trial is not failed or trial.text]
    return ComparedModel(
        model=result.model,
        answered=len(result.answered),
        load_seconds=result.load_seconds,
        first_token_seconds=None if first is None else round(first, 3),
        tokens_per_second=None if speed is None else round(speed, 1),
        tokens=result.tokens or None,
        memory_bytes=result.memory_bytes,
        gpu_percent=None if share is None else round(100 * share),
        notes=list(result.notes) or None,
        error=failed.problem if failed is not None else None,
        answers=replies or None,
    )


def _reply(trial: "Trial", max_chars: int) -> Reply:
    text = trial.text.strip()
    shortened = text if len(text) <= max_chars else f"{text[:max_chars]}…"
    return Reply(prompt=trial.prompt, text=shortened or None, error=trial.problem)
