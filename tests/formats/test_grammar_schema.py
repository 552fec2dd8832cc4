from typing import Any

import pytest

from ollama_mcp.formats.grammar_schema import grammar_schema
from ollama_mcp.formats.json_schema import check_schema

NEW, OLD = (0, 33, 0), (0, 5, 7)
INTEGER: dict[str, Any] = {"type": "integer"}
ANY = {"type": ["object", "array", "string", "number", "boolean", "null"]}


def _of_x(schema: Any, version: tuple[int, int, int] = NEW) -> tuple[Any, list[str]]:
    """What is sent for a property, and what is left out."""
    found = grammar_schema(check_schema({"type": "object", "properties": {"x": schema}}), version)
    return found.schema["properties"]["x"], found.left_out


def test_an_ordinary_schema_is_sent_as_it_is():
    schema: dict[str, Any] = {
        "type": "object",
        "title": "Order",
        "properties": {
            "name": {"type": "string", "description": "who", "maxLength": 20},
            "count": {"type": "integer", "minimum": 1, "maximum": 9},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "minItems": 1},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    found = grammar_schema(schema, NEW)
    assert found.schema == schema and found.left_out == []


@pytest.mark.parametrize(
    ("schema", "sent", "left_out"),
    [
        (True, ANY, []),
        ({"not": {"type": "null"}, "type": "string"}, {"type": "string"}, ["/x not"]),
        ({"type": "integer", "multipleOf": 7}, INTEGER, ["/x multipleOf"]),
        ({"type": "number", "minimum": 0}, {"type": "number"}, ["/x minimum"]),
        ({"type": "string", "format": "email"}, {"type": "string"}, ["/x format 'email'"]),
        ({"type": "string", "pattern": "^(?:a)$"}, {"type": "string", "pattern": "^((a))$"}, []),
        ({"type": "string", "pattern": '"'}, {"type": "string"}, ["/x pattern"]),
        ({"type": "string", "maxLength": 5000}, {"type": "string"}, ["/x maxLength"]),
        ({"minLength": 5}, {"type": "string", "minLength": 5}, []),
        ({"type": "integer", "exclusiveMinimum": 4}, {"type": "integer", "minimum": 5}, []),
        ({"type": "integer", "minimum": 0.5, "maximum": 3.0}, {"type": "integer", "minimum": 1, "maximum": 3}, []),
        ({"type": ["integer", "null"]}, {"anyOf": [INTEGER, {"type": "null"}]}, []),
        ({"type": "array", "minItems": 2}, {"type": "array", "items": ANY, "minItems": 2}, []),
        ({"prefixItems": [INTEGER], "items": False}, {"type": "array", "prefixItems": [INTEGER]}, []),
        ({"allOf": [INTEGER, {"minimum": 5}]}, {"type": "integer", "minimum": 5}, []),
        ({"type": "object", "required": ["y"]}, {"type": "object", "properties": {"y": ANY}, "required": ["y"]}, []),
        (
            {"properties": {"a": INTEGER}, "anyOf": [{"required": ["a"]}]},
            {"type": "object", "properties": {"a": INTEGER}, "required": ["a"]},
            [],
        ),
        ({"properties": {"a": INTEGER, "b": False}}, {"type": "object", "properties": {"a": INTEGER}}, []),
        ({"properties": {"$ref": INTEGER}}, {"type": "object"}, ["/x properties"]),
        ({"properties": {"": INTEGER}}, {"type": "object"}, ["/x properties"]),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, {"anyOf": [INTEGER, {"type": "null"}]}, []),
        (
            {"oneOf": [{"minimum": 1, **INTEGER}, INTEGER]},
            {"anyOf": [{"minimum": 1, **INTEGER}, INTEGER]},
            ["/x oneOf"],
        ),
    ],
)
def test_what_a_grammar_refuses_or_misreads_is_rewritten_or_left_out(schema: Any, sent: Any, left_out: list[str]):
    assert _of_x(schema) == (sent, left_out)


def test_a_reference_to_the_root_and_one_with_escapes_become_definitions():
    schema = {"properties": {"next": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/a~1b"}]}}, "$defs": {"a/b": INTEGER}}
    sent = grammar_schema(check_schema(schema), NEW).schema
    first, second = (option["$ref"].removeprefix("#/$defs/") for option in sent["properties"]["next"]["anyOf"])
    assert sent["$defs"][second] == INTEGER
    assert sent["$defs"][first]["properties"] == sent["properties"]


@pytest.mark.parametrize(
    ("given", "end"),
    [
        ({"minimum": 500}, {"maximum": 10**15 - 1}),
        ({"minimum": 1010}, {"maximum": 10**15 - 1}),
        ({"maximum": -500}, {"minimum": 1 - 10**15}),
        ({"minimum": -500}, {}),
        ({"minimum": 110}, {}),
        ({"minimum": 10}, {}),
        ({"minimum": 500, "maximum": 900}, {}),
    ],
)
def test_a_bound_with_zeros_inside_does_not_stand_alone(given: dict[str, int], end: dict[str, int]):
    assert _of_x({**INTEGER, **given}) == ({**INTEGER, **given, **end}, [])
    checked = [f"/x {next(iter(given))}"] if end else []
    assert _of_x({**INTEGER, **given}, OLD) == ({**INTEGER, **given}, checked)


def test_an_old_server_gets_no_backslash_and_no_large_bound():
    quoted = {"type": "string", "enum": ['say "hi"']}
    assert _of_x(quoted) == (quoted, [])
    assert _of_x(quoted, OLD) == ({"type": "string"}, ["/x enum"])
    labels = {"type": "string", "enum": [f"label {number}" for number in range(2_000)]}
    assert _of_x(labels) == (labels, [])
    assert _of_x(labels, OLD) == ({"type": "string"}, ["/x enum"])
    large = {"type": "integer", "maximum": 10**10}
    assert _of_x(large) == (large, [])
    assert _of_x(large, OLD) == (INTEGER, ["/x maximum"])


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"t": {"allOf": [{"$ref": "#/$defs/t"}], "minLength": 1}}, "$ref": "#/$defs/t"},
        {"$defs": {"t": {"allOf": [{"$ref": "#/$defs/t"}]}}, "$ref": "#/$defs/t"},
        {"$ref": "#"},
        {"$defs": {"t": {"properties": {"c": {"$ref": "#/$defs/t", "minLength": 1}}}}, "$ref": "#/$defs/t"},
        {
            "$defs": {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(100)} | {"d100": INTEGER},
            "$ref": "#/$defs/d0",
        },
        {"$defs": {"t": {"anyOf": [{"$ref": "#/$defs/t", "maxLength": 3}] * 9}}, "$ref": "#/$defs/t", "minLength": 2},
    ],
)
def test_references_without_end_come_to_one(schema: dict[str, Any]):
    sent = grammar_schema(check_schema(schema), NEW).schema
    assert len(str(sent)) < 300_000
