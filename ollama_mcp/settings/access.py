"""Settings for access to files and addresses, and for the images and sounds that come from there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=1, le=65_535)]


class ReadSettings(BaseModel):
    """Which files of this machine may be read: one list of folders per purpose."""

    model_config = ConfigDict(extra="forbid")

    image_folders: list[str] = Field(
        default=["~"],
        description="Folders whose images and sounds may be read, except what is hidden in them. '~' is home.",
    )
    text_folders: list[str] = Field(
        default=[],
        description="Folders whose text files may be read, except what is hidden in them or named like a key.",
    )
    upload_folders: list[str] = Field(
        default=[],
        description="Folders whose model files (GGUF, safetensors) may be uploaded to an Ollama host.",
    )
    working_folder: Literal["auto", "never"] = Field(
        default="auto",
        description="'auto': the folder the server was started in may be read too, unless it is a root, a system "
        "folder or a parent of home; its text and model files only if it is a project. 'never': it may not.",
    )
    client_roots: bool = Field(
        default=True,
        description="Allow reading the folders that a client on stdio declares as its roots.",
    )
    temp_images: bool = Field(
        default=True,
        description="Allow reading images in the temporary folder that belong to the user of this server.",
    )
    over_http: bool = Field(
        default=False,
        description="Lets clients on HTTP whose token has the scope files name files in the folders listed here and "
        "by `ollama-mcp-server allow` (not home, the working or the temporary folder).",
    )


class WriteSettings(BaseModel):
    """Where results may be written (`output` of ollama_batch and ollama_compare)."""

    model_config = ConfigDict(extra="forbid")

    folders: list[str] = Field(
        default=[],
        description="Folders that results may be written to, except what is hidden in them. '~' is home.",
    )
    working_folder: Literal["auto", "never"] = Field(
        default="auto",
        description="'auto': the folder the server was started in may be written to if it is a project. 'never': it "
        "may not. If nothing else may be written to, ~/ollama-mcp may; it is created when first needed.",
    )


SentKind = Literal["text", "html", "notebook", "pdf", "docx", "image", "audio", "model"]


class UploadSettings(BaseModel):
    """Files that clients on HTTP send by POST /files, and name `upload:NAME` afterwards (docs/team.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Take files from tokens that have the scope files.")
    folder: str = Field(
        default="", description="Folder where they are kept; empty: `uploads` in the user's data folder."
    )
    kinds: list[SentKind] = Field(
        default=["text", "html", "notebook", "pdf", "docx", "image", "audio"],
        description="What is taken, by content: text, html, notebook, pdf, docx, image, audio, model (GGUF, "
        "safetensors).",
    )
    max_bytes: int = Field(default=50_000_000, gt=0, description="Largest file, in bytes.")
    quota_bytes: int = Field(default=500_000_000, ge=0, description="Bytes that one token may have there.")
    quota_files: int = Field(default=500, ge=0, description="Files that one token may have there.")
    keep_hours: float = Field(default=24.0, gt=0, description="Hours after which a file is deleted.")


class UrlSettings(BaseModel):
    """Whether and how images are fetched from addresses that a call names."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(default=False, description="Fetch images from http(s) addresses.")
    ports: list[Port] = Field(default=[80, 443], description="Ports that may be connected to.")
    max_bytes: int = Field(default=20_000_000, gt=0, description="Largest body that is read, in bytes.")
    timeout: float = Field(default=10.0, gt=0, description="Seconds for one fetch with all its redirects.")
    max_redirects: int = Field(
        default=3, ge=0, le=10, description="Redirects that are followed; each target is checked anew."
    )
    trusted_proxy: str = Field(
        default="",
        description="Address of a proxy that itself keeps requests out of the internal network, such as "
        "'http://proxy.example:3128'. The proxy then resolves and checks the names. Empty: no proxy.",
    )


class ImageSettings(BaseModel):
    """Limits of images, and the form in which they are sent to a model."""

    model_config = ConfigDict(extra="forbid")

    max_edge: int = Field(
        default=1568,
        ge=16,
        le=16_384,
        description="Longest edge in pixels that is sent; larger images are scaled down, smaller ones never up.",
    )
    max_edge_by_model: dict[str, Annotated[int, Field(ge=16, le=16_384)]] = Field(
        default={},
        description="Longest edge in pixels for models whose name matches the pattern ('gemma3*'); the longest "
        "matching pattern applies.",
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
    """Whether sounds are sent to models with 'audio'; the rules of images apply to their sources, sizes and number."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(
        default=False, description="Offer `audio` (WAV, MP3) in chat and generate, for models with 'audio'."
    )
