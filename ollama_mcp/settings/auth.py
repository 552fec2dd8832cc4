"""Settings of who may use the server over HTTP."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AuthSettings(BaseModel):
    """How clients on HTTP show who they are (docs/team.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: str = Field(
        default="",
        description="File of `ollama-mcp-server token`; empty: `tokens` in the user's config folder, if it exists. "
        "With a file each client needs a token, on loopback too.",
    )
    token: Literal["", "auto"] = Field(
        default="", description="'auto': make a token for this user, kept in `token` in the user's config folder."
    )
