"""Headers of any bytes: read, or refused with words; never another error, never much memory."""

import io
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.gguf import read_gguf_header
from ollama_mcp.formats.modelfile import ModelfileError, create_request_fields, parse_modelfile
from ollama_mcp.formats.options import OPTIONS
from ollama_mcp.formats.safetensors import read_safetensors_header
from tests.contract.gguf_files import language_model
from tests.create.support import safetensors

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_TENSOR = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F16", "F4"]) | _JSON, "shape": _JSON, "data_offsets": _JSON}
)


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda data: struct.pack("<Q", len(data)) + data))
def test_any_bytes_are_no_reason_for_another_error_than_a_refusal(data: bytes):
    for read in (read_safetensors_header, read_gguf_header):
        with pytest.raises(InvalidArgument):
            read(io.BytesIO(data), len(data))


@given(st.dictionaries(st.text(max_size=5), _TENSOR | _JSON, min_size=1, max_size=3))
def test_any_json_in_a_header_is_judged(header: dict[str, Any]):
    data = safetensors(json.dumps(header).encode())
    with pytest.raises(InvalidArgument):
        read_safetensors_header(io.BytesIO(data), len(data) + 1)


@given(st.integers(0, 700), st.binary(min_size=1, max_size=8))
def test_a_gguf_with_changed_bytes_is_read_or_refused(place: int, instead: bytes):
    whole = language_model()
    data = whole[:place] + instead + whole[place + len(instead) :]
    try:
        header = read_gguf_header(io.BytesIO(data), len(data))
    except InvalidArgument as error:
        assert len(str(error)) <= 400
    else:
        assert header.architecture


@given(st.sampled_from(sorted(OPTIONS)), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_any_value_of_a_parameter_is_taken_or_refused_without_being_quoted(name: str, value: str):
    text = f"FROM x\nPARAMETER {name} <{value}>"
    try:
        fields, dropped = create_request_fields(parse_modelfile(text))
    except ModelfileError as error:
        assert error.line >= 2
        assert f"<{value}>" not in str(error)
    else:
        assert not dropped
        assert list(fields["parameters"]) == ["stop"] == [name]
