"""Request bodies of Ollama's API, one pydantic model per endpoint.

A field that is None is not sent, so the server's default applies. Validators are built at first use.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SkipValidation, field_serializer

from ollama_mcp.api.events import ToolCall
from ollama_mcp.api.versions import Feature
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.options import BLOCKED_OPTIONS


def _check_base64(images: Sequence[str]) -> Sequence[str]:
    for image in images:
        if image.startswith(("data:", "http:", "https:")) or len(image) % 4:
            raise InvalidArgument(
                f"An image must be plain base64 with padding; it begins with {image[:24]!r}.",
                next_step="Encode the file's bytes with the standard alphabet, without a 'data:' prefix.",
            )
    return images


def _check_blocked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in options:
        if (reason := BLOCKED_OPTIONS.get(name.lower())) is not None:
            raise InvalidArgument(f"Option {name!r} can't be sent: {reason}.")
    return options


def _check_token_ids(context: Sequence[int]) -> Sequence[int]:
    # Such a token crashes the Ollama server itself (seen with v0.17.7), and with it everybody's calls.
    if any(token < 0 for token in context):
        raise InvalidArgument(
            "context contains a negative number, which is not a token.",
            next_step="Send the context of an earlier answer unchanged.",
        )
    return context


Images = Annotated[list[str], AfterValidator(_check_base64)]
Options = Annotated[dict[str, Any], AfterValidator(_check_blocked)]
KeepAlive = int | float | str
Think = bool | str
Format = Literal["json"] | dict[str, Any]

# Fields that steer the client and are not part of the API.
_CLIENT_FIELDS = {"split_thinking", "within"}


class RequestModel(BaseModel):
    """Base of all request bodies; a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    def encode(self) -> bytes:
        """The JSON body."""
        return self.model_dump_json(exclude_none=True, exclude=_CLIENT_FIELDS).encode()

    def estimated_size(self) -> int:
        """About how many characters the large fields hold, which decides whether encoding takes a thread."""
        return 0

    def required_features(self) -> list[Feature]:
        """Features that an older server would silently ignore, so that its version must be checked first."""
        return []


class ModelRequest(RequestModel):
    """A request that names a model."""

    model: str


class BaseInferenceRequest(ModelRequest):
    """The fields that generate and chat share.

    `stream=False` asks for one object instead of lines, which is cheaper where nobody watches; cancelling works
    either way. `within` gives such an answer up, with NotInTime, that does not begin so many seconds after it was sent.
    `split_thinking` separates a `<think>` block at the start of the text from the answer.
    """

    stream: bool = True
    format: Format | None = None
    options: Options | None = None
    think: Think | None = None
    keep_alive: KeepAlive | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    split_thinking: bool = True
    within: float | None = None

    def required_features(self) -> list[Feature]:
        """See RequestModel."""
        features: list[Feature] = []
        # think=False may go to any server: one that ignores it leaves <think> tags, which are split off here.
        if self.think is not None and self.think is not False:
            features.append(Feature.THINK if self.think is True else Feature.THINK_LEVEL)
        if isinstance(self.format, dict):
            features.append(Feature.FORMAT_SCHEMA)
        if self.truncate is not None or self.shift is not None:
            features.append(Feature.TRUNCATE_SHIFT)
        if self.logprobs or self.top_logprobs:
            features.append(Feature.LOGPROBS)
        return features


class GenerateRequest(BaseInferenceRequest):
    """POST /api/generate. An empty prompt loads the model, or unloads it with keep_alive 0."""

    prompt: str = ""
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: Annotated[list[int], AfterValidator(_check_token_ids)] | None = None
    raw: bool | None = None
    images: Images | None = None

    def estimated_size(self) -> int:
        """See RequestModel."""
        return len(self.prompt) + sum(map(len, self.images or ()))


class ChatMessage(RequestModel):
    """A message of a conversation. `role` is system, user, assistant or tool."""

    role: str
    content: str = ""
    thinking: str | None = None
    images: Images | None = None
    tool_calls: list[SkipValidation[ToolCall]] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None

    @field_serializer("tool_calls")
    def _wire_form(self, calls: list[ToolCall] | None) -> list[dict[str, Any]] | None:
        return None if calls is None else [call.to_json() for call in calls]


class ChatRequest(BaseInferenceRequest):
    """POST /api/chat. Without messages it loads the model, or unloads it with keep_alive 0."""

    messages: list[ChatMessage] = Field(default_factory=list[ChatMessage])
    tools: list[dict[str, Any]] | None = None

    def estimated_size(self) -> int:
        """See RequestModel."""
        return sum(len(one.content) + sum(map(len, one.images or ())) for one in self.messages)


class EmbedRequest(ModelRequest):
    """POST /api/embed. One vector comes back per text; for a bare empty text none."""

    input: str | list[str]
    truncate: bool | None = None
    dimensions: int | None = None
    keep_alive: KeepAlive | None = None
    options: Options | None = None

    def estimated_size(self) -> int:
        """See RequestModel."""
        return len(self.input) if isinstance(self.input, str) else sum(map(len, self.input))

    def required_features(self) -> list[Feature]:
        """See RequestModel."""
        return [Feature.DIMENSIONS] if self.dimensions is not None else []


class EmbeddingsRequest(ModelRequest):
    """POST /api/embeddings, the older form of embed: one text, one vector."""

    prompt: str
    keep_alive: KeepAlive | None = None
    options: Options | None = None


class CreateRequest(ModelRequest):
    """POST /api/create. `files`, `adapters` and `draft_files` map a relative path to the digest of an uploaded blob.

    Servers before v0.5.5 take a `modelfile` instead of all these fields, and nothing else.
    """

    from_: str | None = Field(default=None, serialization_alias="from")
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    template: str | None = None
    license: str | list[str] | None = None
    system: str | None = None
    parameters: Options | None = None
    messages: list[ChatMessage] | None = None
    quantize: str | None = None
    draft_quantize: str | None = None
    renderer: str | None = None
    parser: str | None = None
    requires: str | None = None
    capabilities: list[str] | None = None
    remote_host: str | None = None
    info: dict[str, Any] | None = None
    modelfile: str | None = None

    def encode(self) -> bytes:
        """The JSON body, with the name under both keys for older servers."""
        body = self.model_dump(exclude_none=True, by_alias=True)
        return encode_json({"name": self.model, **body})

    def required_features(self) -> list[Feature]:
        """See RequestModel."""
        used = (
            (Feature.CREATE, self.modelfile is None),
            (Feature.CREATE_RENDERER, self.renderer or self.parser or self.remote_host or self.info),
            (Feature.CREATE_REQUIRES, self.requires),
            (Feature.CREATE_DRAFT, self.draft_files or self.draft_quantize),
            (Feature.CREATE_CAPABILITIES, self.capabilities),
        )
        return [feature for feature, is_used in used if is_used]


class RegistryRequest(ModelRequest):
    """POST /api/pull and POST /api/push."""

    insecure: bool | None = None

    def encode(self) -> bytes:
        """The JSON body, with the name under both keys for older servers."""
        insecure = {} if self.insecure is None else {"insecure": self.insecure}
        return encode_json({"model": self.model, "name": self.model, **insecure})


class DecisionQuestion(RequestModel):
    """A question of a decision: a choice among keys, noul (true or false) or a score along an ordered list."""

    type: Literal["choice", "noul", "score"]
    instructions: str | dict[str, Any] | list[Any] | None = None
    criteria: dict[str, Any] | list[Any] | None = None


class DecisionRequest(ModelRequest):
    """POST /v1/systemone: questions about a state, answered with probabilities by a decision model."""

    state: str | dict[str, Any] | list[Any] | None
    questions: dict[str, DecisionQuestion]
    images: Images | None = None
    keep_alive: KeepAlive | None = None

    def encode(self) -> bytes:
        """The JSON body; `state` is sent even when null."""
        return encode_json({**self.model_dump(exclude_none=True), "state": self.state})

    def estimated_size(self) -> int:
        """See RequestModel."""
        return sum(map(len, self.images or ()))

    def required_features(self) -> list[Feature]:
        """See RequestModel."""
        return [Feature.SYSTEMONE_IMAGES] if self.images else []


def encode_json(body: Mapping[str, Any]) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
