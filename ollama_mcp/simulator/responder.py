"""Plans the answer to a prompt: thinking, a tool call, JSON for a schema, the letter of an option, or text."""

from __future__ import annotations

import json
import math
import random
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from ollama_mcp.simulator.accuracy import DialledAnswer, dialled
from ollama_mcp.simulator.answers import ResponsePlan
from ollama_mcp.simulator.go_json import Object, as_object
from ollama_mcp.simulator.language import SamplingOptions, Token, extract_topic, generate_tokens, tokenize
from ollama_mcp.simulator.request_fields import check_stop
from ollama_mcp.simulator.schema_instances import InstanceGenerator
from ollama_mcp.simulator.store import StoredModel

_MAX_TOKENS = 40_960

_LETTER_REQUEST = re.compile(r"answer with the letter", re.IGNORECASE)
_OPTION = re.compile(r"^([A-Z])[.)] (.+)$", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{3,}")
_SCORE_PER_SHARED_WORD = 1.5
# The probability of an alternative that is not an option.
_OTHER_TOKEN_PROBABILITY = 0.03

_TOOL_STOP_WORDS = re.compile(
    "the|and|for|with|that|this|from|into|what|when|where|which|get|set|use|tool|function|value"
)


@dataclass
class ModelInput:
    """What a model is asked, with the options of request and model merged.

    Args:
        model: The model.
        prompt: The prompt, or the last user message of a chat.
        full_prompt: Everything that counts as prompt tokens.
        options: The merged options.
        images: Images and sounds.
        tools: Tools that the model may call.
        tool_result: The result of a tool if it is the last message.
        thinks: Whether the model thinks first.
        format: None, "json", or a JSON Schema.
        accuracy: How often it gives the right answer that a prompt names (`simulator.accuracy`); None for any.
    """

    model: StoredModel
    prompt: str
    full_prompt: str
    options: Object
    images: list[bytes] = field(default_factory=list[bytes])
    tools: list[Any] = field(default_factory=list[Any])
    tool_result: str | None = None
    thinks: bool = False
    format: str | Object | None = None
    accuracy: float | None = None

    @property
    def sampling(self) -> SamplingOptions:
        """The options that choose the next word."""
        given = {name: self.options[name] for name in SamplingOptions.__slots__ if name in self.options}
        return replace(SamplingOptions(), **given)


def respond(model_input: ModelInput) -> ResponsePlan:
    """The simulated answer, truncated at the stop strings; num_predict is left to the caller."""
    sampling = model_input.sampling
    plan = ResponsePlan(thinking=_thinking(model_input) if model_input.thinks else [])
    # A model that has the result of its call answers in words instead of calling again.
    dial = dialled(model_input.accuracy, model_input.model.name.key, model_input.prompt)
    can_call = model_input.tools and model_input.tool_result is None
    call = choose_call(model_input.tools, model_input.prompt, _rng(model_input, sampling)) if can_call else None
    if call is not None:
        plan.calls = [call]
    elif model_input.format is not None:
        instance = _instance(model_input, _rng(model_input, sampling))
        instance = dial.value(model_input.format, instance) if dial is not None else instance
        plan.content = _certain_tokens(json.dumps(instance, ensure_ascii=False))
    elif (letter := choose_letter(model_input.prompt, dial)) is not None:
        plan.content = [letter]
    elif dial is not None:
        plan.content = _certain_tokens(dial.text())
    else:
        # One token more than the limit, so that `ResponsePlan.truncate` can tell that the answer was longer.
        limit = int(model_input.options.get("num_predict", -1))
        count = limit + 1 if 0 < limit < _MAX_TOKENS else _MAX_TOKENS
        plan.content = list(islice(_text_tokens(model_input, sampling), count))
    plan.truncate_at_stop(check_stop(model_input.options.get("stop")))
    return plan


def _rng(model_input: ModelInput, sampling: SamplingOptions) -> random.Random:
    if not sampling.is_deterministic:
        return random.Random()
    return random.Random(zlib.crc32(f"{sampling.seed}{model_input.prompt}".encode("utf-8", "replace")))


def _thinking(model_input: ModelInput) -> list[Token]:
    topic = extract_topic(model_input.prompt) or "the request"
    return _certain_tokens(
        f"The user asks about {topic}. A simulator knows nothing, so a short synthetic answer is best."
    )


def _instance(model_input: ModelInput, rng: random.Random) -> Any:
    if model_input.format == "json" or not isinstance(model_input.format, dict):
        return {"answer": f"simulated answer about {extract_topic(model_input.prompt) or 'nothing'}"}
    return InstanceGenerator(model_input.format, model_input.prompt, rng).generate(model_input.format)


def _text_tokens(model_input: ModelInput, sampling: SamplingOptions) -> Iterator[Token]:
    if model_input.tool_result is not None:
        yield from _certain_tokens(f"The tool said: {model_input.tool_result[:500]} ")
    for image in model_input.images:
        yield from _certain_tokens(f"This is {describe_media(image)}. ")
    yield from generate_tokens(model_input.prompt, sampling)


def _certain_tokens(text: str) -> list[Token]:
    return [Token(piece, -0.02, ((piece, -0.02),)) for piece in tokenize(text)]


def choose_letter(prompt: str, dial: DialledAnswer | None = None) -> Token | None:
    """The letter of the option that shares the most words with the text before the options.

    Its alternatives have the probabilities of all options; a model of known accuracy has its own. None if the prompt
    does not ask for a letter.
    """
    options = list(_OPTION.finditer(prompt))
    if len(options) < 2 or not _LETTER_REQUEST.search(prompt, options[-1].end()):
        return None
    text = prompt[: options[0].start()]
    text_words = set(_casefolded_words(text))
    scores = {option[1]: _option_score(option[2], text_words, text) for option in options}
    total = sum(math.exp(score) for score in scores.values())
    share = 1 - _OTHER_TOKEN_PROBABILITY
    chances = {letter: math.exp(score) / total for letter, score in scores.items()}
    if dial is not None:
        chances = dial.choose({option[1]: option[2] for option in options}) or chances
    logprobs = [(letter, math.log(share * chance)) for letter, chance in chances.items()]
    ranked = sorted(logprobs, key=lambda item: -item[1])
    return Token(*ranked[0], (*ranked, ("The", math.log(_OTHER_TOKEN_PROBABILITY))))


def offered_letters(prompt: str) -> list[str]:
    """The letters of the options that a prompt offers."""
    return [option[1] for option in _OPTION.finditer(prompt)]


def _option_score(option: str, text_words: set[str], text: str) -> float:
    shared = len(text_words.intersection(_casefolded_words(option)))
    # The checksum makes texts that share no word differ, and the same text score the same.
    tie_breaker = zlib.crc32(f"{option}{text}".encode("utf-8", "replace")) % 1_000 / 1_000
    return _SCORE_PER_SHARED_WORD * shared + tie_breaker


def _casefolded_words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def choose_call(tools: list[Any], prompt: str, rng: random.Random) -> Object | None:
    """A call of the tool whose name or description shares the most words with the prompt; None if none shares any."""
    prompt_stems = _stems(prompt)
    best, best_score = Object(), 0
    for tool in tools:
        function = as_object(as_object(tool).get("function"))
        name = str(function.get("name", ""))
        score = 2 * len(prompt_stems & _stems(name.replace("_", " ").replace("-", " ")))
        score += len(prompt_stems & _stems(str(function.get("description", ""))))
        # A prompt that contains the name of the function asks for it.
        score += 10 if name and name in prompt else 0
        if score > best_score:
            best, best_score = function, score
    if not best:
        return None
    return {"name": best["name"], "arguments": _arguments(as_object(best.get("parameters")), prompt, rng)}


def _stems(text: str) -> set[str]:
    words = re.findall(r"[a-z]{3,}", re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower())
    return {word.rstrip("s")[:6] for word in words if not _TOOL_STOP_WORDS.fullmatch(word)}


def _arguments(schema: Object, prompt: str, rng: random.Random) -> Object:
    """Arguments that match the schema; strings are quotations or capitalized names from the prompt."""
    values = as_object(InstanceGenerator(schema, prompt, rng).generate({"type": "object", **schema}))
    quoted = re.findall(r"[\"'\u201c]([^\"'\u201d]+)[\"'\u201d]", prompt)
    names = re.findall(r"(?<=[a-z,] )[A-Z]\w+(?: [A-Z]\w+)*", prompt)
    candidates = [*quoted, *names]
    for name, part in as_object(schema.get("properties")).items():
        node = as_object(part)
        is_free_text = node.get("type") == "string" and not {"enum", "const", "pattern", "format"} & set(node)
        if is_free_text and candidates and name in values:
            values[name] = candidates.pop(0)
    return values


def describe_media(data: bytes) -> str:
    """Format and size of an image or sound, such as "a 640x480 PNG image of 12345 bytes"."""
    # Ollama takes sounds in the same field as images.
    if sound := _sound_format(data):
        return f"{sound} sound of {len(data)} bytes"
    kind, size = _image_format(data)
    shown = f"{size[0]}x{size[1]} {kind}" if size else kind
    return f"a {shown} image of {len(data)} bytes"


def _sound_format(data: bytes) -> str:
    """The format of a sound with its article; "" for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "a WAV"
    # An ID3 tag, or the sync word of an MPEG frame; its layer bits are never 0, unlike those of AAC.
    is_frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x06 != 0
    return "an MP3" if data.startswith(b"ID3") or is_frame else ""


def _image_format(data: bytes) -> tuple[str, tuple[int, int] | None]:
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return "PNG", struct.unpack(">II", data[16:24])
    if data.startswith(b"\xff\xd8"):
        return "JPEG", _jpeg_size(data)
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return "GIF", struct.unpack("<HH", data[6:10])
    if data.startswith(b"BM") and len(data) >= 26:
        return "BMP", struct.unpack("<II", data[18:26])
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", None
    return "unknown", None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    offset = 2
    while offset + 9 < len(data) and data[offset] == 0xFF:
        marker, length = data[offset + 1], int.from_bytes(data[offset + 2 : offset + 4], "big")
        # The frame headers SOF0 to SOF15 contain the size; C4, C8 and CC are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[offset + 5 : offset + 9])
            return width, height
        offset += 2 + length
    return None
