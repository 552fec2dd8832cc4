"""Responses of the endpoints that do not stream, parsed leniently: unknown fields are ignored, null counts as absent.

Servers omit what is zero or empty, so nearly every field has a default, which also stands for a value that the field
cannot have. What a response is about (names, vectors, probabilities) has to be right. Sizes are bytes, durations
nanoseconds.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from ollama_mcp.formats.json_text import as_count, parse_json


def _parse_time(value: Any) -> datetime | None:
    """A time as Go writes it (RFC 3339, up to nanoseconds); None for anything else."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _null_as_empty(value: Any) -> Any:
    return [] if value is None else value


class JsonResponse(BaseModel):
    """Base of what a response's body is parsed into."""

    model_config = ConfigDict(extra="ignore", defer_build=True, protected_namespaces=())

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Parse a body; raises ValueError where it does not fit."""
        return cls.model_validate(parse_json(body))


class ListResponseModel(JsonResponse):
    """Base of responses that are one list: Go writes an empty list as null, and only a foreign server omits the key."""


Timestamp = Annotated[datetime | None, BeforeValidator(_parse_time)]
Count = Annotated[int, BeforeValidator(as_count)]
MaybeCount = Annotated[int | None, BeforeValidator(as_count)]
# Rounding may bring a sum just above 1.
Probability = Annotated[FiniteFloat, Field(ge=0, le=1.01)]


class StrictResponseModel(JsonResponse):
    """Base of responses whose fields all have to be right."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}  # pyright: ignore[reportUnknownVariableType] # any JSON
        return data


class ResponseModel(StrictResponseModel):
    """Base of most responses.

    Attributes:
        essential: Fields that have a default for servers that omit them, but must be right where they are given.
    """

    essential: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_for_wrong(cls, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """One wrong figure of one model must not lose the list of all models."""
        try:
            return check(value)
        except ValidationError:
            name = info.field_name or ""
            field = cls.model_fields[name]
            if field.is_required() or name in cls.essential:
                raise
            return field.get_default(call_default_factory=True, validated_data={})


class ModelMetadata(ResponseModel):
    """Format, family, size and quantization of a model as Ollama writes them ("7.6B", "Q4_K_M")."""

    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: list[str] = []
    parameter_size: str = ""
    quantization_level: str = ""
    context_length: MaybeCount = None
    embedding_length: MaybeCount = None


class ModelSummary(ResponseModel):
    """An installed model. `size` is its size on disk, `digest` the manifest's SHA-256 in hex."""

    name: str
    model: str = ""
    remote_model: str | None = None
    remote_host: str | None = None
    modified_at: Timestamp = None
    size: Count = 0
    digest: str = ""
    details: ModelMetadata = Field(default_factory=ModelMetadata)
    capabilities: list[str] | None = None


class RunningModel(ResponseModel):
    """A loaded model. `size` is its memory, `size_vram` the part of that on GPUs."""

    name: str
    model: str = ""
    size: Count = 0
    size_vram: Count = 0
    digest: str = ""
    details: ModelMetadata = Field(default_factory=ModelMetadata)
    expires_at: Timestamp = None
    context_length: MaybeCount = None


class ThinkingLevels(ResponseModel):
    """The values that `think` takes for a model, and its default."""

    values: list[bool | str] = []
    default: bool | str | None = None


class ModelCard(ResponseModel):
    """The details of one model. The FROM line of `modelfile` contains a path on the server's disk."""

    modelfile: str = ""
    license: str = ""
    parameters: str = ""
    template: str = ""
    template_source: str | None = None
    system: str = ""
    renderer: str | None = None
    parser: str | None = None
    details: ModelMetadata = Field(default_factory=ModelMetadata)
    messages: list[dict[str, Any]] = []
    remote_model: str | None = None
    remote_host: str | None = None
    model_info: dict[str, Any] = {}
    projector_info: dict[str, Any] = {}
    tensors: list[dict[str, Any]] = []
    capabilities: list[str] | None = None
    thinking: ThinkingLevels | None = None
    modified_at: Timestamp = None
    requires: str | None = None

    @property
    def architecture(self) -> str:
        """The architecture, which prefixes the keys of `model_info`."""
        return str(self.model_info.get("general.architecture") or self.details.family)

    @property
    def context_length(self) -> int | None:
        """The longest context that the model was trained for, in tokens."""
        return self._number("context_length") or self.details.context_length

    @property
    def embedding_length(self) -> int | None:
        """The length of the model's vectors."""
        return self._number("embedding_length") or self.details.embedding_length

    @property
    def parameter_count(self) -> int | None:
        """The number of weights."""
        return as_count(self.model_info.get("general.parameter_count"))

    def _number(self, key: str) -> int | None:
        return as_count(self.model_info.get(f"{self.architecture}.{key}"))


_AnyCount = Annotated[int, msgspec.Meta(ge=0)]


class _Embeddings(msgspec.Struct, gc=False):
    """The usual body of an EmbedResponse."""

    embeddings: list[list[float]]
    model: str = ""
    total_duration: _AnyCount | None = None
    load_duration: _AnyCount | None = None
    prompt_eval_count: _AnyCount | None = None


_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)


class EmbedResponse(ResponseModel):
    """Vectors in the order of the inputs."""

    essential = frozenset({"embeddings"})

    model: str = ""
    embeddings: list[list[FiniteFloat]] = []
    total_duration: MaybeCount = None
    load_duration: MaybeCount = None
    prompt_eval_count: MaybeCount = None

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Parse a body of up to millions of numbers, which msgspec does in half the time of pydantic."""
        try:
            found = _EMBEDDINGS.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            # Whatever is unusual in it: this one says what.
            return cls.model_validate_json(body)
        return cls.model_construct(
            model=found.model,
            embeddings=found.embeddings,
            total_duration=found.total_duration,
            load_duration=found.load_duration,
            prompt_eval_count=found.prompt_eval_count,
        )

    @property
    def total_seconds(self) -> float | None:
        """Queue, load and inference together."""
        return None if self.total_duration is None else self.total_duration / 1e9

    @property
    def load_seconds(self) -> float | None:
        """From the request until the model was ready."""
        return None if self.load_duration is None else self.load_duration / 1e9


class EmbeddingsResponse(ResponseModel):
    """One vector; empty for an empty text."""

    essential = frozenset({"embedding"})

    embedding: list[FiniteFloat] = []


class CloudStatus(ResponseModel):
    """Whether ollama.com is disabled on the host, and by what (none, env, config or both)."""

    disabled: bool = False
    source: str = "none"


class Account(ResponseModel):
    """The account at ollama.com that the host is signed in to."""

    id: str = ""
    name: str = ""
    email: str = ""
    plan: str = ""


class Recommendation(ResponseModel):
    """A model that Ollama recommends."""

    model: str
    description: str = ""
    context_length: MaybeCount = None
    max_output_tokens: MaybeCount = None
    vram_bytes: MaybeCount = None
    required_plan: str | None = None


class SearchResult(ResponseModel):
    """A page found by a web search; `content` is its relevant text."""

    title: str = ""
    url: str = ""
    content: str = ""


class FetchedPage(ResponseModel):
    """A page as text, with the links on it."""

    title: str = ""
    content: str = ""
    links: list[str] = []


class ChoiceAnswer(StrictResponseModel):
    """One key of the criteria. `confidence` is how concentrated the probabilities are, not how likely it is right."""

    type: Literal["choice"]
    choice: str
    probabilities: dict[str, Probability] = {}
    confidence: Probability | None = None


class NoulAnswer(StrictResponseModel):
    """The probability of true."""

    type: Literal["noul"]
    noul: FiniteFloat


class ScoreAnswer(StrictResponseModel):
    """The mean position in the ordered list, from 0 to n - 1."""

    type: Literal["score"]
    score: FiniteFloat
    legend: dict[str, str] = {}
    probabilities: dict[str, Probability] = {}
    confidence: Probability | None = None


class DecisionUsage(ResponseModel):
    """The tokens that a decision used."""

    input_tokens: Count = 0
    output_tokens: Count = 0


class DecisionResponse(ResponseModel):
    """An answer for each question, by its name."""

    essential = frozenset({"answers"})

    model: str = ""
    answers: dict[str, Annotated[ChoiceAnswer | NoulAnswer | ScoreAnswer, Field(discriminator="type")]] = {}
    usage: DecisionUsage = Field(default_factory=DecisionUsage)


class ModelList(ListResponseModel):
    """GET /api/tags."""

    models: Annotated[list[ModelSummary], BeforeValidator(_null_as_empty)]


class RunningList(ListResponseModel):
    """GET /api/ps."""

    models: Annotated[list[RunningModel], BeforeValidator(_null_as_empty)]


class StatusResponse(ResponseModel):
    """GET /api/status."""

    cloud: CloudStatus = Field(default_factory=CloudStatus)


class VersionResponse(ResponseModel):
    """GET /api/version."""

    version: str


class RecommendationList(ResponseModel):
    """GET /api/experimental/model-recommendations."""

    recommendations: list[Recommendation] = []


class SearchResponse(ResponseModel):
    """POST /api/experimental/web_search."""

    results: list[SearchResult] = []
