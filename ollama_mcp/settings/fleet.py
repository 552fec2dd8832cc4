"""Settings of several processes that share a store."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FleetSettings(BaseModel):
    """Workers and servers that share a store in PostgreSQL (docs/fleet.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    work: bool = Field(
        default=False, description="A server works on rows of batches too, beside its clients, as a worker does."
    )
    lost_seconds: float = Field(
        default=15.0,
        ge=2,
        le=600,
        description="Seconds without a sign of life after which others take over what a worker has begun.",
    )
