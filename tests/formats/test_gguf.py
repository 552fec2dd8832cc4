from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.gguf import GGUFHeader, read_gguf_header
from tests.contract.gguf_files import FIXTURES, gguf, language_model

PLAIN = language_model(template="{{ messages }}", file_type=7)


def _read(data: bytes, longest_array: int = 1024) -> GGUFHeader:
    return read_gguf_header(io.BytesIO(data), len(data), longest_array=longest_array)


def _head(tensors: int = 0, entries: int = 0, version: int = 3, magic: bytes = b"GGUF") -> bytes:
    return struct.pack("<4sIQQ", magic, version, tensors, entries)


def _entry(key: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


def _named() -> bytes:
    return _entry("general.architecture", 8, struct.pack("<Q", 1) + b"x")


def _tensor(kind: int = 0, shape: tuple[int, ...] = (4,), offset: int = 0) -> bytes:
    return struct.pack(f"<Q1sI{len(shape)}QIQ", 1, b"t", len(shape), *shape, kind, offset)


@pytest.mark.parametrize(
    ("name", "family", "context", "embedding"),
    [("tiny-chat", "llama", 512, False), ("tiny-tools", "llama", 512, False), ("tiny-embed", "bert", 64, True)],
)
def test_the_header_describes_the_model(name: str, family: str, context: int, embedding: bool) -> None:
    header = _read((FIXTURES / f"{name}.gguf").read_bytes())
    assert (header.architecture, header.number("context_length"), header.is_embedding) == (family, context, embedding)
    assert header.parameter_count == (17_248 if embedding else 64_064)
    assert ("tools" in header.chat_template) is (name == "tiny-tools")


def test_quantization_has_ollamas_name() -> None:
    assert _read(PLAIN).quantization == "Q8_0"
    assert GGUFHeader({"general.file_type": 99}).quantization == ""
    assert GGUFHeader({}).quantization == ""


# `llama_ftype` of llama.cpp's include/llama.h.
LLAMA_FILE_TYPES = [
    *[(0, "F32"), (1, "F16"), (2, "Q4_0"), (3, "Q4_1"), (7, "Q8_0"), (8, "Q5_0"), (9, "Q5_1"), (10, "Q2_K")],
    *[(11, "Q3_K_S"), (12, "Q3_K_M"), (13, "Q3_K_L"), (14, "Q4_K_S"), (15, "Q4_K_M"), (16, "Q5_K_S")],
    *[(17, "Q5_K_M"), (18, "Q6_K"), (32, "BF16")],
]


@pytest.mark.parametrize(("number", "name"), LLAMA_FILE_TYPES)
def test_a_file_type_has_the_name_that_llama_cpp_gives_it(number: int, name: str) -> None:
    assert GGUFHeader({"general.file_type": number}).quantization == name


def test_long_arrays_are_omitted_unless_requested() -> None:
    assert _read(PLAIN, longest_array=2).metadata["tokenizer.ggml.tokens"] is None
    assert _read(PLAIN).metadata["tokenizer.ggml.tokens"] == ["<unk>", "<s>", "</s>"]
    numbers = _entry("n", 9, struct.pack("<IQ3B", 0, 3, 1, 2, 3))
    assert _read(_head(0, 2) + _named() + numbers).metadata["n"] == [1, 2, 3]
    assert _read(_head(0, 2) + _named() + numbers, longest_array=2).metadata["n"] is None


def test_arrays_may_hold_arrays_to_a_depth() -> None:
    inner = struct.pack("<IQ", 0, 0)
    for _ in range(3):
        inner = struct.pack("<IQ", 9, 1) + inner
    assert _read(_head(0, 2) + _named() + _entry("a", 9, inner)).metadata["a"] == [[[[]]]]
    with pytest.raises(InvalidArgument, match="deeper than 4"):
        _read(_head(0, 2) + _named() + _entry("a", 9, struct.pack("<IQ", 9, 1) + inner))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is truncated at byte 0"),
        (b"PK\x03\x04", "does not begin with 'GGUF'"),
        (_head(version=1), "version is 1"),
        (_head(tensors=10**9), "claims 1,000,000,000 tensors"),
        (_head(entries=2**63), "metadata entries, more than it can contain"),
        (_head(), "names no architecture"),
        (_head(0, 1) + struct.pack("<Q", 2**40) + bytes(40), "a metadata key claims"),
        (_head(0, 1) + _entry("a", 99, bytes(8)), "unknown value type 99"),
        (_head(0, 1) + _entry("a", 9, struct.pack("<IQ", 4, 2**60)), "elements of 'a'"),
        (_head(0, 1) + _entry("a", 8, struct.pack("<Q", 2**50)), "the value of 'a' claims"),
        (_head(1, 1) + _named() + _tensor(kind=77) + bytes(64), "unknown type 77"),
        (_head(1, 1) + _named() + _tensor(shape=(1, 1, 1, 1, 1)) + bytes(64), "5 dimensions"),
        (_head(1, 1) + _named() + _tensor(shape=(2**40,)) + bytes(64), "ends beyond the end"),
        (_head(1, 1) + _named() + _tensor(offset=2**40) + bytes(64), "ends beyond the end"),
        (gguf({"general.architecture": "x", "general.alignment": 0}), "alignment is 0"),
        (gguf({"general.architecture": "x", "general.alignment": "big"}), "alignment is 'big'"),
        (PLAIN[:100], "more than|is truncated"),
        (PLAIN[:-8], "ends beyond the end"),
    ],
)
def test_an_inconsistent_or_truncated_file_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why) as caught:
        read_gguf_header(io.BytesIO(data), len(data), argument="files")
    assert caught.value.message.startswith("files is not a GGUF file")
    assert len(str(caught.value)) <= 400


@given(st.data())
def test_damaged_files_raise_no_other_error(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(PLAIN) - 1))
    damaged = bytearray(PLAIN)
    damaged[place : place + 8] = data.draw(st.binary(min_size=1, max_size=8))
    try:
        header = _read(bytes(damaged))
    except InvalidArgument:
        return
    assert isinstance(header.architecture, str)
    assert header.parameter_count >= 0
