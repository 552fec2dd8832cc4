"""A JSON Schema as Ollama's grammars take it: what they can hold a model to, without what they refuse or misread.

Ollama turns a schema into a grammar with the converter of llama.cpp. It refuses a schema for one sub-schema that it
does not know (`true`, `not`, a bare description), looks at one keyword where several stand side by side (`anyOf` beside
`properties`), and leaves others out without a word (`multipleOf`). `docs/structured-output.md` has the measurements.
What is left out here is checked when the answer has come.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from ollama_mcp.formats.grammar_pattern import MAX_REPEATS, grammar_pattern
from ollama_mcp.formats.json_schema import CONSTRAINTS

Schema = dict[str, Any]
Version = tuple[int, int, int]

# The second engine measured: it refers to definitions by their whole path, escapes backslashes, and has 64-bit bounds.
_WHOLE_LITERALS: Version = (0, 17, 7)
# It also cuts a grammar after 32 KB, and then refuses what is left.
_OLD_VALUES_SIZE = 12_000
# References may repeat a part without end.
_MAX_NODES = 3_000
_MAX_DEPTH = 48
_TYPES = ("object", "array", "string", "number", "boolean", "null")
_FORMATS = ("date", "time", "date-time", "uuid", "uuid1", "uuid2", "uuid3", "uuid4", "uuid5")
# An integer without bounds has at most 16 digits in a grammar.
_LARGEST = 10**15 - 1
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LENGTHS = ("minLength", "maxLength")
_ITEMS = ("minItems", "maxItems")
_KEYWORDS = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "dependentRequired"),
    "array": ("items", "prefixItems", *_ITEMS, "uniqueItems", "contains"),
    "string": ("pattern", *_LENGTHS, "format"),
    "number": (*_BOUNDS, "multipleOf"),
}
# What no grammar can hold, by the keyword.
_CHECKED_HERE = frozenset(
    (
        *("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies"),
        *("patternProperties", "propertyNames", "minProperties", "maxProperties", "unevaluatedProperties"),
        *("contains", "minContains", "maxContains", "uniqueItems", "unevaluatedItems", "multipleOf", "$dynamicRef"),
    )
)
_HELD = CONSTRAINTS - _CHECKED_HERE
_ANY: Schema = {"type": list(_TYPES)}


@dataclass(slots=True)
class GrammarSchema:
    """What to send as `format`, and what it can't hold.

    Args:
        schema: The schema for the grammar.
        left_out: What is only checked, as "/path keyword".
    """

    schema: Schema
    left_out: list[str] = field(default_factory=list[str])


def grammar_schema(schema: Schema, version: Version) -> GrammarSchema:
    """The part of a checked schema that the grammar of a server's version can hold.

    Args:
        schema: A schema that `check_schema` has passed.
        version: Of the server; (0, 0, 0) for an unknown one, which is taken for a new one.
    """
    return _Conversion(schema, old=(0, 0, 0) != version < _WHOLE_LITERALS).run()


class _Conversion:
    def __init__(self, root: Schema, *, old: bool) -> None:
        self.root = root
        self.old = old
        self.left_out: dict[str, None] = {}
        self.nodes = 0
        # The name that each reference gets among the definitions, and the definitions.
        self.names: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self.definitions: Schema = {}
        self.depth = 0

    def run(self) -> GrammarSchema:
        sent = self._node(self.root, "")
        # A definition may refer to more of them, and to itself.
        while pending := [ref for ref, name in self.names.items() if name not in self.definitions]:
            for ref in pending:
                self.definitions[self.names[ref]] = self._node(_find(self.root, ref), self.places[ref])
        if self.definitions:
            sent = {**sent, "$defs": self.definitions}
        return GrammarSchema(sent, list(self.left_out))

    def _leave_out(self, path: str, keyword: str) -> None:
        self.left_out[f"{path or '/'} {keyword}"] = None

    def _node(self, node: Any, path: str) -> Schema:
        """The grammar's form of a sub-schema at a place of the answer."""
        self.nodes += 1
        if self.nodes > _MAX_NODES or self.depth > _MAX_DEPTH:
            self._leave_out(path, "size")
            return _ANY
        self.depth += 1
        try:
            sent = self._converted(node, path)
        finally:
            self.depth -= 1
        given = cast("Schema", node) if isinstance(node, dict) else {}
        about = {key: given[key] for key in ("title", "description") if key in given}
        return {**about, **sent}

    def _converted(self, node: Any, path: str) -> Schema:
        if not isinstance(node, dict):
            # `false` is left to the check: no grammar can be without an answer.
            return _ANY
        node = self._without_all_of(cast("Schema", node), path)
        for keyword in node.keys() & _CHECKED_HERE:
            self._leave_out(path, keyword)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(node.get(keyword), list) and node[keyword]:
                return self._alternatives(node, keyword, path)
        if "$ref" in node:
            return self._reference(node, path)
        if "const" in node or node.get("enum"):
            return self._values(node, path)
        kinds = _kinds(node)
        forms = [self._typed(kind, node, path) for kind in kinds]
        return forms[0] if len(forms) == 1 else {"anyOf": forms}

    def _without_all_of(self, node: Schema, path: str) -> Schema:
        parts = node.get("allOf")
        if not isinstance(parts, list):
            return node
        self.nodes += 1
        merged = {key: value for key, value in node.items() if key != "allOf"}
        only = cast("list[Any]", parts)[0] if len(cast("list[Any]", parts)) == 1 else None
        if isinstance(only, dict) and not _HELD & merged.keys():
            # Not joined, so that a reference stays one: what it refers to may contain itself.
            return self._without_all_of({**merged, **cast("Schema", only)}, path)
        for part in cast("list[Any]", parts):
            merged = self._merged(merged, part, path, "allOf")
        return merged

    def _alternatives(self, node: Schema, keyword: str, path: str) -> Schema:
        """The grammar takes nothing beside alternatives, so what stands beside them becomes part of each."""
        beside = {key: value for key, value in node.items() if key != keyword}
        options: list[Schema] = []
        for option in cast("list[Any]", node[keyword]):
            if option is False:
                continue
            whole = self._merged(beside, option, path, keyword) if _HELD & beside.keys() else option
            options.append(self._node(whole, path))
        if keyword == "oneOf" and len(options) > 1:
            self._check_overlap(node["oneOf"], path)
        return options[0] if len(options) == 1 else {"anyOf": options} if options else _ANY

    def _check_overlap(self, options: list[Any], path: str) -> None:
        # Alternatives of different types can't both match; of others the grammar does not know.
        kinds = [self._resolved(option).get("type") for option in options]
        if len({str(kind) for kind in kinds if isinstance(kind, str)}) < len(kinds):
            self._leave_out(path, "oneOf")

    def _merged(self, base: Schema, part: Any, path: str, keyword: str) -> Schema:
        """Both schemas as one; what can't be joined is left to the check."""
        part = self._resolved(part)
        if "allOf" in part:
            if self.nodes > _MAX_NODES or self.depth > _MAX_DEPTH:
                self._leave_out(path, keyword)
                return base
            self.depth += 1
            part = self._without_all_of(part, path)
            self.depth -= 1
        merged = dict(base)
        for key, value in part.items():
            if key not in merged or merged[key] == value:
                merged[key] = value
            elif key in ("properties", "patternProperties", "$defs", "definitions"):
                merged[key] = {**merged[key], **{name: value[name] for name in value if name not in merged[key]}}
                if any(merged[key][name] != value[name] for name in value):
                    self._leave_out(path, keyword)
            elif key == "required":
                merged[key] = [*merged[key], *(name for name in value if name not in merged[key])]
            elif key in ("minimum", "exclusiveMinimum", "minLength", "minItems"):
                merged[key] = max(merged[key], value)
            elif key in ("maximum", "exclusiveMaximum", "maxLength", "maxItems"):
                merged[key] = min(merged[key], value)
            elif key in CONSTRAINTS:
                self._leave_out(path, keyword)
        return merged

    def _resolved(self, part: Any) -> Schema:
        """A sub-schema with the reference that it is made of followed; `{}` for `true`."""
        seen: set[str] = set()
        while isinstance(part, dict) and isinstance(ref := cast("Schema", part).get("$ref"), str) and ref not in seen:
            seen.add(ref)
            rest = {key: value for key, value in cast("Schema", part).items() if key != "$ref"}
            target = _find(self.root, ref)
            part = {**cast("Schema", target), **rest} if isinstance(target, dict) else rest
        return cast("Schema", part) if isinstance(part, dict) else {}

    def _reference(self, node: Schema, path: str) -> Schema:
        beside = {key: value for key, value in node.items() if key not in ("$ref", "$defs", "definitions")}
        ref = str(node["$ref"])
        if _HELD & beside.keys():
            return self._node(self._merged(beside, {"$ref": ref}, path, "$ref"), path)
        if ref not in self.names:
            self.names[ref], self.places[ref] = f"schema-ref-{len(self.names)}", path
        return {"$ref": f"#/$defs/{self.names[ref]}"}

    def _values(self, node: Schema, path: str) -> Schema:
        keyword = "const" if "const" in node else "enum"
        values = [node["const"]] if keyword == "const" else cast("list[Any]", node["enum"])
        size = sum(len(json.dumps(value)) for value in values)
        if '"$ref"' in json.dumps(values) or (
            self.old and (size > _OLD_VALUES_SIZE or any(map(_needs_escape, values)))
        ):
            self._leave_out(path, keyword)
            return {"type": "string"} if all(isinstance(value, str) for value in values) else _ANY
        return {key: node[key] for key in ("type", keyword) if key in node}

    def _typed(self, kind: str, node: Schema, path: str) -> Schema:
        match kind:
            case "object":
                return self._object(node, path)
            case "array":
                return self._array(node, path)
            case "string":
                return self._string(node, path)
            case "integer" | "number":
                return self._number(kind, node, path)
            case _:
                return {"type": kind}

    def _object(self, node: Schema, path: str) -> Schema:
        given = cast("Schema", node.get("properties") or {})
        more, required = node.get("additionalProperties"), cast("list[str]", node.get("required") or [])
        properties = {name: self._node(part, f"{path}/{name}") for name, part in given.items() if part is not False}
        for name in required:
            properties.setdefault(name, self._node(more, f"{path}/{name}") if isinstance(more, dict) else _ANY)
        sent: Schema = {"type": "object"}
        # A property `$ref` is taken for a reference, and for an empty name there is no rule.
        if properties.keys() & {"", "$ref"} or (self.old and any(map(_needs_escape, properties))):
            self._leave_out(path, "properties")
            return sent
        if properties:
            sent["properties"] = properties
        if required:
            sent["required"] = [name for name in properties if name in required]
        if "patternProperties" in node:
            # Their names are not known to the grammar; with any name it can at least write them.
            sent["additionalProperties"] = True
        elif isinstance(more, dict):
            sent["additionalProperties"] = self._node(more, f"{path}/*") if more else True
        elif isinstance(more, bool):
            sent["additionalProperties"] = more
            if not more:
                # Without `properties`, even if there are none, the grammar is that of any object.
                sent.setdefault("properties", {})
        return sent

    def _array(self, node: Schema, path: str) -> Schema:
        least, most = int(node.get("minItems") or 0), node.get("maxItems")
        first = [self._node(part, f"{path}/{index}") for index, part in enumerate(node.get("prefixItems") or [])]
        items = node.get("items")
        if first:
            if most is not None and most < len(first):
                first = first[: int(most)]
            if least > len(first) and items is not False and least <= MAX_REPEATS:
                first += [self._node(items, f"{path}/*")] * (least - len(first))
            return {"type": "array", "prefixItems": first}
        if items is None and not least and most is None:
            return {"type": "array"}
        return {"type": "array", "items": self._node(items, f"{path}/*"), **self._counts(node, _ITEMS, path)}

    def _string(self, node: Schema, path: str) -> Schema:
        pattern, form = node.get("pattern"), node.get("format")
        counts = self._counts(node, _LENGTHS, path)
        if isinstance(pattern, str):
            translated = grammar_pattern(pattern)
            if translated is not None:
                for keyword in (*counts, *(("format",) if form else ())):
                    self._leave_out(path, keyword)
                return {"type": "string", "pattern": translated}
            self._leave_out(path, "pattern")
        if form in _FORMATS:
            for keyword in counts:
                self._leave_out(path, keyword)
            return {"type": "string", "format": form}
        if form is not None:
            self._leave_out(path, f"format {str(form)[:20]!r}")
        return {"type": "string", **counts}

    def _number(self, kind: str, node: Schema, path: str) -> Schema:
        if kind == "number":
            for keyword in _BOUNDS:
                if keyword in node:
                    self._leave_out(path, keyword)
            return {"type": "number"}
        low = _tightest(node, "minimum", "exclusiveMinimum", math.ceil, 1)
        high = _tightest(node, "maximum", "exclusiveMaximum", math.floor, -1)
        limit = 2**31 - 1 if self.old else 10**15
        sent: Schema = {"type": "integer"}
        for keyword, bound in (("minimum", low), ("maximum", high)):
            if bound is None:
                continue
            if abs(bound) > limit:
                self._leave_out(path, keyword)
            else:
                sent[keyword] = bound
        # Of a bound that stands alone the converter loses zeros after the first digit: 500 lets 50 pass.
        for keyword, end, sign in (("minimum", "maximum", 1), ("maximum", "minimum", -1)):
            bound = sent.get(keyword, 0) * sign
            if end in sent or bound <= 0 or "0" not in str(bound)[1:-1]:
                continue
            if self.old:
                self._leave_out(path, keyword)
            else:
                sent[end] = _LARGEST * sign
        return sent

    def _counts(self, node: Schema, keywords: Iterable[str], path: str) -> Schema:
        counts: Schema = {}
        for keyword in keywords:
            if (count := node.get(keyword)) is None:
                continue
            if count > MAX_REPEATS:
                self._leave_out(path, keyword)
            else:
                counts[keyword] = int(count)
        return counts


def _needs_escape(value: Any) -> bool:
    """Whether its JSON has a backslash, which the old converter does not escape in a grammar."""
    return "\\" in json.dumps(value, ensure_ascii=False)


def _kinds(node: Schema) -> tuple[str, ...]:
    """The types that an answer may have; where none is named, the one that the other keywords speak of."""
    kinds = node.get("type")
    if isinstance(kinds, str):
        return (kinds,)
    if isinstance(kinds, list) and kinds:
        return tuple(cast("list[str]", kinds))
    meant = tuple(kind for kind, keywords in _KEYWORDS.items() if node.keys() & set(keywords))
    return meant or _TYPES


def _tightest(node: Schema, inclusive: str, exclusive: str, rounded: Any, step: int) -> int | None:
    bounds: list[int] = []
    if (bound := node.get(inclusive)) is not None:
        bounds.append(rounded(bound))
    if (bound := node.get(exclusive)) is not None:
        bounds.append(rounded(bound) + step if rounded(bound) == bound else rounded(bound))
    return (max if step > 0 else min)(bounds, default=None)


def _find(root: Schema, ref: str) -> Any:
    node: Any = root
    for part in ref.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        node = cast("list[Any]", node)[int(key)] if isinstance(node, list) else cast("Schema", node).get(key)
    return node
