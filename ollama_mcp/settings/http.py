"""Settings of the HTTP transports."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class HttpSettings(BaseModel):
    """Where streamable HTTP and SSE are served, to whom, and how much one client may take.

    A client is an address: all programs of this machine that connect from 127.0.0.1 share the limits below.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    host: str = Field(default="127.0.0.1", description="Loopback address to listen on; no other is allowed.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    socket: str = Field(default="", description="Path of a Unix socket (mode 0600) to listen on instead of a port.")
    stateless: bool = Field(default=False, description="Serve streamable HTTP without sessions.")
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Host names beside the loopback ones that a request may name, with or without a port.",
    )
    allowed_origins: list[str] = Field(
        default_factory=list, description="Web origins whose pages may call, such as 'http://localhost:6274'."
    )
    body_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Seconds until a request's body is there; big bodies get a second more per 256 KiB.",
    )
    gone_seconds: float = Field(
        default=5.0, ge=0, description="Seconds after which a vanished client's call is cancelled."
    )
    session_seconds: float = Field(
        default=1800.0, gt=0, description="Seconds after which an idle session is forgotten."
    )
    max_sessions: int = Field(default=500, ge=1, description="Sessions open per client.")
    max_streams: int = Field(default=200, ge=1, description="Event streams (GET) open per client.")
    max_calls: int = Field(default=1_000, ge=1, description="Calls in flight per client.")
    max_unfinished: int = Field(default=100, ge=1, description="Requests per client whose body has not arrived yet.")
