"""The usage report of ollama_status, in sums, and of the resource ollama://usage, by model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, WithJsonSchema

from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL

if TYPE_CHECKING:
    from ollama_mcp.store import Store, UsageRow, UsageSummary

# Models listed by name in each period; the sums include all of them.
MAX_MODELS = 20


class UsageCounts(BaseModel):
    """Calls, tokens read and written, and the tokens read from files that did not pass through the agent."""

    calls: int
    prompt_tokens: int
    tokens: int
    file_tokens: int
    seconds: float


class ModelUsage(UsageCounts):
    """The usage of one model."""

    model: str


class UsagePeriod(BaseModel):
    """Usage in a period. Calls that ran on ollama.com are counted apart, and in none of the local sums."""

    local: UsageCounts | None = None
    cloud: UsageCounts | None = None


# The counts written out would be most of the output schema of ollama_status, which hosts show in the tool list.
_UsagePeriod = Annotated[
    UsagePeriod,
    WithJsonSchema({"type": "object", "properties": {"local": {"type": "object"}, "cloud": {"type": "object"}}}),
]


class UsageReport(BaseModel):
    """Usage since this server started and in total; both absent where counting is off or nothing was done."""

    counted: bool
    this_run: _UsagePeriod | None = None
    in_all: _UsagePeriod | None = None


class UsagePeriodByModel(UsagePeriod):
    """Usage in a period, also by model, the busiest first."""

    local_models: list[ModelUsage] | None = None
    cloud_models: list[ModelUsage] | None = None


class UsageReportByModel(BaseModel):
    """A usage report with its models."""

    counted: bool
    this_run: UsagePeriodByModel | None = None
    in_all: UsagePeriodByModel | None = None


async def usage_report(store: Store) -> UsageReport:
    """The usage in sums."""
    totals = await store.usage.totals()
    return UsageReport(counted=totals.enabled, this_run=_period(totals.session), in_all=_period(totals.all_time))


async def usage_by_model(store: Store) -> UsageReportByModel:
    """The usage in sums, and by model for those that whoever asks may use."""
    totals = await store.usage.totals()
    return UsageReportByModel(
        counted=totals.enabled, this_run=_period_by_model(totals.session), in_all=_period_by_model(totals.all_time)
    )


def _period(summary: UsageSummary) -> UsagePeriod | None:
    """The usage in a period; None where there was none."""
    summary = _seen(summary)
    if not summary.local and not summary.cloud:
        return None
    return UsagePeriod(
        local=UsageCounts(**_counts(summary.local_total)) if summary.local else None,
        cloud=UsageCounts(**_counts(summary.cloud_total)) if summary.cloud else None,
    )


def _period_by_model(summary: UsageSummary) -> UsagePeriodByModel | None:
    summary = _seen(summary)
    sums = _period(summary)
    if sums is None:
        return None
    return UsagePeriodByModel(
        local=sums.local,
        local_models=[_model_usage(row) for row in summary.local[:MAX_MODELS]] or None,
        cloud=sums.cloud,
        cloud_models=[_model_usage(row) for row in summary.cloud[:MAX_MODELS]] or None,
    )


def _seen(summary: UsageSummary) -> UsageSummary:
    """What is left of it for whoever asks: models that it may not use are not spoken of."""
    principal = CURRENT_PRINCIPAL.get()
    if principal is None or not principal.sees_less:
        return summary
    return replace(
        summary,
        local=tuple(row for row in summary.local if principal.may_name(row.model)),
        cloud=tuple(row for row in summary.cloud if principal.may_name(row.model)),
    )


def _model_usage(row: UsageRow) -> ModelUsage:
    return ModelUsage(model=row.model, **_counts(row))


def _counts(row: UsageRow) -> dict[str, Any]:
    return {
        "calls": row.calls,
        "prompt_tokens": row.prompt_tokens,
        "tokens": row.tokens,
        "file_tokens": row.file_tokens,
        "seconds": round(row.seconds, 1),
    }
