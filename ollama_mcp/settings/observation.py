"""Settings of what is told of the server's work: the ledger of its calls, metrics."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class LedgerSettings(BaseModel):
    """A row for each call in the store, for whoever answers for the server (docs/observability.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=False,
        description="Keep a row of each call: who, which tool, models, hosts, tokens, bytes, outcome; no contents. "
        "`ollama-mcp-server ledger export` prints them.",
    )
    days: float = Field(default=90.0, gt=0, description="Days that a row is kept.")
    megabytes: float = Field(default=100.0, gt=0, description="Megabytes of rows that are kept; the oldest go first.")


class MetricsSettings(BaseModel):
    """Figures for Prometheus (docs/observability.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: Annotated[int, Field(ge=0, le=65_535)] | None = Field(
        default=None,
        description="Port on 127.0.0.1 that serves /metrics (extra `metrics`); 0 chooses a free one, null serves none.",
    )
    over_http: bool = Field(
        default=False,
        description="Serve /metrics on the port of MCP clients too, for tokens with the scope metrics.",
    )

    @property
    def are_kept(self) -> bool:
        """Whether anybody can ask for them."""
        return self.port is not None or self.over_http
