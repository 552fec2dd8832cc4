"""Settings of what may be read and fetched, and how images are made ready for a model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=1, le=65_535)]


class ReadSettings(BaseModel):
    """Which files of this machine may be read: one list of folders per purpose."""

    model_config = ConfigDict(extra="forbid")

    image_folders: list[str] = Field(
        default=["~"],
        description="Folders whose images and audio may be read, with all below them but what is hidden. '~' is home.",
    )
    text_folders: list[str] = Field(
        default=[],
        description="Folders whose text files may be read, with all below them but what is hidden or named like a key.",
    )
    upload_folders: list[str] = Field(
        default=[],
        description="Folders whose model files (GGUF, safetensors) may be uploaded to an Ollama host.",
    )
    working_folder: Literal["auto", "never"] = Field(
        default="auto",
        description="'auto': the folder the server was started in may be read too, where it is no root, system folder "
        "or parent of home; its text and model files only where it is a project. 'never': it does not count.",
    )
    client_roots: bool = Field(
        default=True,
        description="Whether the folders that a client on stdio declares as its roots may be read.",
    )
    temp_images: bool = Field(
        default=True,
        description="Whether images in the temporary folder may be read, if they belong to the user of this server.",
    )
    over_http: bool = Field(
        default=False,
        description="Whether clients on HTTP that showed a token may name files at all; the folders listed here and by "
        "`ollama-mcp-server allow` count then, home, working folder and temporary folder do not.",
    )


class WriteSettings(BaseModel):
    """Where results may be written (`output` of ollama_batch and ollama_compare)."""

    model_config = ConfigDict(extra="forbid")

    folders: list[str] = Field(
        default=[],
        description="Folders that results may be written to, with all below them but what is hidden. '~' is home.",
    )
    working_folder: Literal["auto", "never"] = Field(
        default="auto",
        description="'auto': the folder the server was started in may be written to where it is a project. 'never': it "
        "does not count. Where nothing may be written to otherwise, ~/ollama-mcp is, and is made when first needed.",
    )


class UrlSettings(BaseModel):
    """Whether and how an image is fetched from an address that a call names."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(default=False, description="Whether http(s) addresses of images are fetched at all.")
    ports: list[Port] = Field(default=[80, 443], description="Ports that may be connected to.")
    max_bytes: int = Field(default=20_000_000, gt=0, description="Largest body that is read, in bytes.")
    timeout: float = Field(default=10.0, gt=0, description="Time for one fetch with all its redirects, in seconds.")
    max_redirects: int = Field(default=3, ge=0, le=10, description="Redirects that are followed, each judged anew.")
    trusted_proxy: str = Field(
        default="",
        description="Address of a proxy that itself keeps requests out of the internal network, such as "
        "'http://proxy.example:3128'. Names are then resolved and judged by the proxy; empty: no proxy.",
    )


class ImageSettings(BaseModel):
    """Limits of images, and the form in which they go to a model."""

    model_config = ConfigDict(extra="forbid")

    max_edge: int = Field(
        default=1568,
        ge=16,
        le=16_384,
        description="Longest edge in pixels that is sent; larger images are reduced, smaller ones never enlarged.",
    )
    max_edge_by_model: dict[str, Annotated[int, Field(ge=16, le=16_384)]] = Field(
        default={},
        description="Longest edge in pixels for models whose name matches the pattern ('gemma3*'); the longest "
        "pattern that matches counts.",
    )
    jpeg_quality: int = Field(default=90, ge=1, le=100, description="Quality of the JPEG that is sent, 1 to 100.")
    max_bytes: int = Field(default=50_000_000, gt=0, description="Largest image or audio file that is read, in bytes.")
    max_count: int = Field(default=20, ge=1, description="Most images in one call.")
    max_megapixels: float = Field(
        default=48, gt=0, le=178, description="Most pixels of an image that is not a baseline JPEG, in millions."
    )
    max_megapixels_jpeg: float = Field(
        default=178, gt=0, le=178, description="Most pixels of a baseline JPEG, in millions."
    )


class AudioSettings(BaseModel):
    """Whether sounds go to models that hear; their files, addresses, sizes and number are under the rules of images."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(
        default=False, description="Offer `audio` (WAV, MP3) in chat and generate, for models with 'audio'."
    )
