"""Instances of a JSON Schema with words from the prompt, like the output of a model constrained by a grammar."""

from __future__ import annotations

import random
import re
from typing import Any, cast

from ollama_mcp.simulator.go_json import Object, as_list, as_object

JSON_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_FORMATS = {
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "reader@example.com",
    "uri": "https://example.com/",
    "uuid": "3f2b8c1e-0d4a-4b6f-9a57-1c2d3e4f5a6b",
    "ipv4": "192.0.2.1",
}
_MAX_DEPTH = 12


class InstanceGenerator:
    """Generates values for schemas.

    Args:
        root: The schema that each `$ref` refers to.
        prompt: Source of the words and numbers in the values.
        rng: Chooses if the schema allows several values.
    """

    def __init__(self, root: Object, prompt: str, rng: random.Random) -> None:
        self._root = root
        self._rng = rng
        self._prompt = prompt.lower()
        self._words = re.findall(r"[^\W\d_]{3,}", prompt) or ["simulated"]
        self._numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", prompt)]

    def generate(self, schema: Any, depth: int = 0) -> Any:
        """A value that matches the schema; deeper than 12 levels only required properties."""
        node = self._resolve(as_object(schema))
        if "const" in node:
            return node["const"]
        if choices := as_list(node.get("enum")):
            mentioned = [choice for choice in choices if isinstance(choice, str) and self._is_in_prompt(choice)]
            return mentioned[0] if mentioned else self._rng.choice(choices)
        for key in ("anyOf", "oneOf"):
            if options := as_list(node.get(key)):
                # Deep in a recursive schema the last branch is taken, which is usually the leaf.
                return self.generate(
                    {**node, key: None, **as_object(options[0 if depth < _MAX_DEPTH else -1])}, depth + 1
                )
        return self._typed(self._type(node), node, depth)

    def _is_in_prompt(self, text: str) -> bool:
        return re.search(rf"\b{re.escape(text.lower())}\b", self._prompt) is not None

    def _resolve(self, node: Object) -> Object:
        seen: set[str] = set()
        # `seen` stops a cycle of references.
        while isinstance(ref := node.get("$ref"), str) and ref not in seen:
            seen.add(ref)
            target: Any = self._root
            for part in ref.split("/")[1:]:
                target = as_object(target).get(part.replace("~1", "/").replace("~0", "~"))
            node = {**as_object(target), **{key: value for key, value in node.items() if key != "$ref"}}
        for part in as_list(node.get("allOf")):
            more = self._resolve(as_object(part))
            merged = {**as_object(node.get("properties")), **as_object(more.get("properties"))}
            required = [*as_list(node.get("required")), *as_list(more.get("required"))]
            node = {**node, **more, "properties": merged, "required": required}
        return node

    def _type(self, node: Object) -> str:
        kind = node.get("type")
        if isinstance(kind, list):
            return str(cast("list[Any]", kind)[0])
        if isinstance(kind, str):
            return kind
        return "object" if "properties" in node else "array" if "items" in node else "string"

    def _typed(self, kind: str, node: Object, depth: int) -> Any:
        match kind:
            case "object":
                return self._object(node, depth)
            case "array":
                return self._array(node, depth)
            case "integer" | "number":
                return self._number(node, whole=kind == "integer")
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case _:
                return self._string(node)

    def _object(self, node: Object, depth: int) -> Object:
        required = as_list(node.get("required"))
        properties = as_object(node.get("properties"))
        included = {name: part for name, part in properties.items() if depth < _MAX_DEPTH or name in required}
        values = {name: self.generate(part, depth + 1) for name, part in included.items()}
        for name in required:
            # A required property may have no schema.
            values.setdefault(name, self._words[0])
        return values

    def _array(self, node: Object, depth: int) -> list[Any]:
        if fixed := as_list(node.get("prefixItems")):
            return [self.generate(item, depth + 1) for item in fixed]
        least = int(node.get("minItems", 0 if depth >= _MAX_DEPTH else 1))
        most = int(node.get("maxItems", max(least, 3)))
        count = least if depth >= _MAX_DEPTH else self._rng.randint(least, max(least, min(most, least + 2)))
        if node.get("uniqueItems") and (choices := as_list(as_object(node.get("items")).get("enum"))):
            return self._rng.sample(choices, min(count, len(choices)))
        items = [self.generate(node.get("items", {}), depth + 1) for _ in range(count)]
        if node.get("uniqueItems"):
            items = [item for index, item in enumerate(items) if item not in items[:index]]
        return items

    def _number(self, node: Object, *, whole: bool) -> float | int:
        low = node.get("minimum", node.get("exclusiveMinimum"))
        high = node.get("maximum", node.get("exclusiveMaximum"))
        bottom, top = _range(low, high)
        strict = "exclusiveMinimum" in node or "exclusiveMaximum" in node
        mentioned = [number for number in self._numbers if bottom < number < top and (not whole or number.is_integer())]
        if mentioned and not node.get("multipleOf"):
            return int(mentioned[0]) if whole else mentioned[0]
        if step := node.get("multipleOf"):
            value = -(-bottom // float(step)) * float(step)
            return int(value) if whole else value
        if whole:
            return self._rng.randint(int(bottom) + strict, max(int(top) - strict, int(bottom) + strict))
        return round(self._rng.uniform(bottom, top), 2) if not strict else (bottom + top) / 2

    def _string(self, node: Object) -> str:
        if (name := node.get("format")) in _FORMATS:
            return _FORMATS[cast("str", name)]
        if isinstance(pattern := node.get("pattern"), str):
            return _matching(pattern)
        least, most = int(node.get("minLength", 0)), node.get("maxLength")
        text = " ".join(self._rng.sample(self._words, min(2, len(self._words))))
        while len(text) < least:
            text += f" {text}"
        return text[: int(most)] if most is not None else text


def _range(low: Any, high: Any) -> tuple[float, float]:
    """The bounds of a number; a missing one is 100 away from the other."""
    if isinstance(low, int | float):
        return float(low), float(high) if isinstance(high, int | float) else low + 100.0
    if isinstance(high, int | float):
        return (0.0 if high > 0 else high - 100.0), float(high)
    return 0.0, 100.0


def _matching(pattern: str) -> str:
    """A match for simple patterns (literals, classes, counts); for others the pattern without its operators."""
    text = pattern.strip("^$")
    text = re.sub(r"\[([^\]\\-])[^\]]*\]", r"\1", text.replace("\\d", "0").replace("\\w", "a"))
    text = re.sub(r"(.)\{(\d+)(?:,\d*)?\}", lambda found: found[1] * int(found[2]), text)
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)[+*?()]", "", text))
