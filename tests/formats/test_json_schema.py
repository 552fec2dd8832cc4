from typing import Any

import pytest

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.json_schema import check_schema, find_mismatch


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


def _dag(levels: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {
        f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"$ref": f"#/$defs/a{n + 1}"}]} for n in range(levels)
    }
    definitions[f"a{levels}"] = {"type": "string"}
    return {"$defs": definitions, "$ref": "#/$defs/a0"}


_TREE: dict[str, Any] = {
    "$defs": {"node": {"type": "object", "properties": {"next": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}},
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"n": {"type": "integer"}}},
        {"properties": {"a": {"$ref": "#"}}},
        {"properties": {"$ref": {"type": "string"}}},
        {"anyOf": [{"type": "string"}, {"$ref": "#/anyOf/0"}]},
        _TREE,
        _dag(8),
    ],
)
def test_ordinary_schemas_pass_unchanged(schema: dict[str, Any]):
    assert check_schema(schema) == schema


def test_a_schema_that_names_its_draft_loses_only_that():
    draft = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}
    assert check_schema(draft) == {"type": "object"}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"description": "x" * 70_000}, "bytes"),
        (_deep(40), "nests deeper"),
        ({"anyOf": [{"type": "string"}] * 2_100}, "sub-schemas"),
        (_dag(40), "expand to more"),
        ({"$ref": "http://127.0.0.1/x"}, "points outside"),
        ({"properties": {"a": {"$id": "http://x/"}}}, r"\$id is not allowed"),
        ({"properties": {"a": {"$schema": "http://x/"}}}, r"\$schema is not allowed"),
        ({"$ref": "#/$defs/none"}, "points to nothing"),
        ({"anyOf": [{"$ref": "#/anyOf/7"}]}, "points to nothing"),
        ({"minItems": 10**9}, "more than a grammar can hold"),
        ({"pattern": "a" * 600}, "characters"),
        ({"pattern": r"(a)\1"}, "regex"),
        ({"type": "objekt"}, "not valid"),
    ],
)
def test_a_schema_that_could_do_harm_is_refused_with_the_rule(schema: dict[str, Any], reason: str):
    with pytest.raises(InvalidArgument, match=reason) as caught:
        check_schema(schema)
    assert len(str(caught.value)) < 400


def test_an_exponential_pattern_is_matched_in_linear_time():
    assert "does not match" in find_mismatch({"type": "string", "pattern": "^(a+)+$"}, "a" * 5_000 + "b")


def test_a_mismatch_says_where_and_why():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert find_mismatch(schema, {"n": 1}) == ""
    assert find_mismatch(schema, {"n": "x"}) == 'at /n: "x" is not of type "integer"'
