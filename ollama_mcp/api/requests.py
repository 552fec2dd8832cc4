"""Requests as Ollama's API takes them, one model per endpoint with a body.

A field that is None is not sent, so the server's default holds. Nothing is built until first use.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SkipValidation, field_serializer

from ollama_mcp.api.events import ToolCall
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.options import REFUSED


def _base64(images: Sequence[str]) -> Sequence[str]:
    for image in images:
        if image.startswith(("data:", "http:", "https:")) or len(image) % 4:
            raise InvalidArgument(
                f"An image must be plain base64 with padding, not {image[:24]!r}.",
                next_step="Encode the file's bytes with the standard alphabet, without 'data:' before it.",
            )
    return images


def _sendable(options: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in options:
        if (reason := REFUSED.get(name.lower())) is not None:
            raise InvalidArgument(f"Option {name!r} can't be sent: {reason}.")
    return options


def _token_ids(context: Sequence[int]) -> Sequence[int]:
    # Ollama's process itself dies of such a token (seen with v0.17.7), and with it everybody's calls.
    if any(token < 0 for token in context):
        raise InvalidArgument(
            "context holds a negative number, which is no token.",
            next_step="Send an earlier answer's context as it is.",
        )
    return context


Images = Annotated[list[str], AfterValidator(_base64)]
Options = Annotated[dict[str, Any], AfterValidator(_sendable)]
KeepAlive = int | float | str
Think = bool | str
Format = Literal["json"] | dict[str, Any]

_LOCAL = {"split_thinking"}


class Request(BaseModel):
    """Base of all requests; a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    def encode(self) -> bytes:
        """The JSON body."""
        return self.model_dump_json(exclude_none=True, exclude=_LOCAL).encode()

    def weight(self) -> int:
        """About how many characters the large fields hold, which tells whether encoding takes time."""
        return 0


class ModelRequest(Request):
    """A request that names a model."""

    model: str


class Inference(ModelRequest):
    """What generate and chat have in common.

    `stream=False` asks for one object instead of lines, which is cheaper where nobody watches; cancelling works
    either way. `split_thinking` takes `<think>` tags at the beginning of the text apart and is not sent.
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


class GenerateRequest(Inference):
    """POST /api/generate. An empty prompt loads the model, with keep_alive 0 it unloads it."""

    prompt: str = ""
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: Annotated[list[int], AfterValidator(_token_ids)] | None = None
    raw: bool | None = None
    images: Images | None = None

    def weight(self) -> int:
        """See Request."""
        return len(self.prompt) + sum(map(len, self.images or ()))


class Message(Request):
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


class ChatRequest(Inference):
    """POST /api/chat. Without messages it loads the model, with keep_alive 0 it unloads it."""

    messages: list[Message] = Field(default_factory=list[Message])
    tools: list[dict[str, Any]] | None = None

    def weight(self) -> int:
        """See Request."""
        return sum(len(one.content) + sum(map(len, one.images or ())) for one in self.messages)


class EmbedRequest(ModelRequest):
    """POST /api/embed. One vector comes back per text; for a bare empty text none."""

    input: str | list[str]
    truncate: bool | None = None
    dimensions: int | None = None
    keep_alive: KeepAlive | None = None
    options: Options | None = None

    def weight(self) -> int:
        """See Request."""
        return len(self.input) if isinstance(self.input, str) else sum(map(len, self.input))


class EmbeddingsRequest(ModelRequest):
    """POST /api/embeddings, the older form of embed: one text, one vector."""

    prompt: str
    keep_alive: KeepAlive | None = None
    options: Options | None = None


class CreateRequest(ModelRequest):
    """POST /api/create. `files`, `adapters` and `draft_files` map a relative path to the digest of an uploaded blob.

    `modelfile` stands for all of them with servers before v0.5.5, which know nothing else.
    """

    from_: str | None = Field(default=None, serialization_alias="from")
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    template: str | None = None
    license: str | list[str] | None = None
    system: str | None = None
    parameters: Options | None = None
    messages: list[Message] | None = None
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


class Question(Request):
    """A question of a decision: choice among keys, noul (true or false) or a score along an ordered list."""

    type: Literal["choice", "noul", "score"]
    instructions: str | dict[str, Any] | list[Any] | None = None
    criteria: dict[str, Any] | list[Any] | None = None


class DecisionRequest(ModelRequest):
    """POST /v1/systemone: questions about a state, answered with probabilities by a decision model."""

    state: str | dict[str, Any] | list[Any] | None
    questions: dict[str, Question]
    images: Images | None = None
    keep_alive: KeepAlive | None = None

    def encode(self) -> bytes:
        """The JSON body; `state` is sent even when null."""
        return encode_json({**self.model_dump(exclude_none=True), "state": self.state})

    def weight(self) -> int:
        """See Request."""
        return sum(map(len, self.images or ()))


def encode_json(body: Mapping[str, Any]) -> bytes:
    """Compact JSON in UTF-8."""
    import json

    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
