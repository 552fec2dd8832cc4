"""Settings of several Ollama hosts."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

AUTO = "auto"


def _check_name(name: str) -> str:
    if name == AUTO:
        raise ValueError("'auto' stands for the choice among all hosts")
    return name


HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$"), AfterValidator(_check_name)]


class HostLimitSettings(BaseModel):
    """What a host is given; 0 and an empty list are no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    largest_gb: float = Field(default=0.0, ge=0, description="Largest model, in gigabytes on disk, that it runs.")
    models: list[str] = Field(default=[], description="Patterns ('gemma3*') of the models that it runs.")
    requests: int = Field(default=0, ge=0, description="Requests that it works on at once.")


class HostSettings(BaseModel):
    """One of several Ollama hosts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="Its address, in the format of OLLAMA_HOST.")
    key_env: str = Field(default="", description="Name of the environment variable with its key (a bearer token).")
    headers: dict[str, str] = Field(default={}, description="Extra headers sent to it.")
    ca_file: str = Field(default="", description="PEM file with the certificates to trust for an https address.")
    verify: bool = Field(default=True, description="Verify its TLS certificate.")
    weight: float = Field(
        default=1.0, gt=0, le=1000, description="How fast it is next to the others, until that is measured."
    )
    tags: list[str] = Field(default=[], description="Words that ollama_status shows with it.")
    limits: HostLimitSettings = Field(default=HostLimitSettings(), description="What it is given.")
