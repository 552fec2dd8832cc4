"""Batches, comparisons and evaluations that also write a report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ollama_mcp.work.batch import run_batch
from ollama_mcp.work.report.batch import Answers, batch_page
from ollama_mcp.work.report.compare import comparison_page
from ollama_mcp.work.report.evaluate import evaluation_page
from ollama_mcp.work.report.file import open_report, write_report

if TYPE_CHECKING:
    from ollama_mcp.work.batch import BatchReport, BatchSpec
    from ollama_mcp.work.call_context import CallContext
    from ollama_mcp.work.cascade import CascadeSpec
    from ollama_mcp.work.cascade.run import CascadeReport
    from ollama_mcp.work.compare import Comparison, ComparisonSpec
    from ollama_mcp.work.evaluate import Evaluation, EvaluationSpec


async def run_batch_with_report(
    call: CallContext, spec: BatchSpec, cascade: CascadeSpec | None, path: str
) -> tuple[BatchReport, CascadeReport | None, str]:
    """Run a batch, by a cascade where there is one, and write its report.

    Args:
        call: The context of the call.
        spec: The arguments of the batch.
        cascade: Those of the cascade.
        path: The file of the report, which ends in .html.

    Returns:
        What the batch came to, who decided, and the file of the report; "" where it could not be written, which a note
        tells.

    Raises:
        OllamaMCPError: As `run_batch` and `run_cascade`; or the report may not be written, and nothing was begun.
    """
    answers, decided = Answers(), None
    async with open_report(call, path, overwrite=spec.overwrite) as output:
        if cascade is None:
            report = await run_batch(call, spec, answers.add)
        else:
            from ollama_mcp.work.cascade import run_cascade

            report, decided = await run_cascade(call, spec, cascade, answers.add)
        if output is None:
            return report, decided, ""
        problem = await write_report(output, batch_page(spec, report, answers, decided))
        if problem:
            report.notes.append(f"The report was not written: {problem}")
        return report, decided, "" if problem else output.path


async def compare_with_report(call: CallContext, spec: ComparisonSpec, path: str) -> tuple[Comparison, str]:
    """Compare models and write the report.

    Returns:
        The comparison, and the file of the report; "" where it could not be written, which a note tells.

    Raises:
        OllamaMCPError: As `compare`; or the report may not be written, and nothing was begun.
    """
    from ollama_mcp.work.compare import compare

    async with open_report(call, path, overwrite=spec.overwrite) as output:
        comparison = await compare(call, spec)
        if output is None:
            return comparison, ""
        problem = await write_report(output, comparison_page(comparison))
        if problem:
            return replace(comparison, notes=[*comparison.notes, f"The report was not written: {problem}"]), ""
        return comparison, output.path


async def evaluate_with_report(call: CallContext, spec: EvaluationSpec, path: str) -> tuple[Evaluation, str]:
    """Evaluate models and write the report.

    Returns:
        The evaluation, and the file of the report; "" where it could not be written, which a note tells.

    Raises:
        OllamaMCPError: As `evaluate`; or the report may not be written, and nothing was begun.
    """
    from ollama_mcp.work.evaluate import evaluate

    async with open_report(call, path, overwrite=False) as output:
        found = await evaluate(call, spec)
        if output is None:
            return found, ""
        page = evaluation_page(
            found.verdict,
            found.models,
            goal=found.target.goal,
            about=found.about,
            confusion=found.confusion,
            fields=found.fields,
            notes=found.notes,
        )
        problem = await write_report(output, page)
        if problem:
            found.notes.append(f"The report was not written: {problem}")
        return found, "" if problem else output.path
