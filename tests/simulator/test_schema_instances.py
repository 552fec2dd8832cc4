from __future__ import annotations

import random
from typing import Any

import jsonschema_rs
import pytest

from ollama_mcp.simulator.schema_instances import InstanceGenerator

TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    "required": ["name"],
}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": ["integer", "null"]}}, "required": ["a"]},
    {"type": "array", "items": {"type": "integer", "minimum": 5, "maximum": 9}, "minItems": 2, "maxItems": 4},
    {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}]},
    {"enum": ["red", "green", 3, None]},
    {"const": {"fixed": [1, 2]}},
    {"anyOf": [{"type": "string", "maxLength": 4}, {"type": "null"}]},
    {"oneOf": [{"type": "integer", "minimum": 1}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "exclusiveMinimum": 3},
    {"type": "integer", "maximum": -5},
    {"type": "integer", "minimum": 3, "multipleOf": 7},
    {"type": "number", "multipleOf": 0.5},
    {"type": "string", "minLength": 30},
    {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
    {"type": "string", "format": "date-time"},
    {"properties": {"implied": {"type": "boolean"}}},
    {"items": {"type": "string"}},
    {"type": "null"},
    {"$ref": "#/$defs/tree", "$defs": {"tree": TREE}},
    {"type": "object", "required": ["unknown"]},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_generated_values_match_the_schema(schema: dict[str, Any]) -> None:
    for seed in range(20):
        made = InstanceGenerator(schema, "The red house of 42 doors and 0.25 windows", random.Random(seed)).generate(
            schema
        )
        jsonschema_rs.validate(schema, made)


def test_words_and_numbers_come_from_the_prompt() -> None:
    schema = {"properties": {"age": {"type": "integer", "maximum": 120}, "colour": {"enum": ["blue", "red"]}}}
    made = InstanceGenerator(schema, "A RED car, 17 years old", random.Random(1)).generate(schema)
    assert made == {"age": 17, "colour": "red"}


def test_a_dangling_reference_gives_a_string() -> None:
    assert isinstance(InstanceGenerator({}, "", random.Random(1)).generate({"$ref": "#/nope"}), str)
