"""Settings of who may use the server over HTTP."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AuthSettings(BaseModel):
    """How clients on HTTP show who they are (docs/team.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: str = Field(
        default="",
        description="File of tokens, which the command `token` writes; empty: `tokens` in the user's config folder, if "
        "it exists. With a file each client needs a token, on loopback too.",
    )
    token: Literal["", "auto"] = Field(
        default="", description="'auto': make a token for this user, kept in `token` in the user's config folder."
    )
    issuer: str = Field(
        default="", description="Address of the OAuth issuer whose access tokens (JWT) count, in place of own tokens."
    )
    audience: str = Field(
        default="", description="What these tokens must be made for: the address of this server, as clients use it."
    )
    jwks_url: str = Field(
        default="", description="Address of the issuer's keys; empty: as its metadata says, on the same origin."
    )
    ca_file: str = Field(default="", description="PEM file with the certificates to trust for the issuer.")


class PrincipalSettings(BaseModel):
    """What one of several people may use, and how much; an empty list and 0 are no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: list[str] = Field(default=[], description="Names of the `hosts` that it may use.")
    models: list[str] = Field(
        default=[], description="Patterns ('gemma3*') of the models that it may use; one without a tag means every tag."
    )
    denied_models: list[str] = Field(
        default=[], description="Patterns of models that it may not use, nor copies of them or what was made from them."
    )
    folders: list[str] = Field(
        default=[], description="Folders of the server's machine whose files it may name, with the scope files."
    )
    output_folder: str = Field(default="", description="Folder for its results, with the scope files.")
    upload_bytes: int | None = Field(
        default=None, ge=0, description="Bytes of files that it may have sent; null: as `uploads.quota_bytes`."
    )
    images: int | None = Field(default=None, ge=0, description="Images in one call; null: as `images.max_count`.")
    calls: int = Field(default=0, ge=0, description="Calls that run or manage models at once, jobs included.")
    calls_per_minute: int = Field(default=0, ge=0, description="Calls that run or manage models in a minute.")
    tokens_per_day: int = Field(default=0, ge=0, description="Tokens of prompts and answers in a day (UTC).")
