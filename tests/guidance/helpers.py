"""What the tests of prompts and errors share: a prompt's text, and the tool calls that a text names."""

from __future__ import annotations

import ast
import re
from typing import Any

from mcp import Client
from mcp.types import TextContent

_CALL = re.compile(r"\b(ollama_[a-z_]+)\(")
_WORDS = {"true": True, "false": False, "null": None}


async def prompt_text(client: Client, name: str, **arguments: str) -> str:
    """The text of a prompt, which is one message of the user."""
    result = await client.get_prompt(name, arguments)
    (message,) = result.messages
    assert message.role == "user"
    assert isinstance(message.content, TextContent)
    return message.content.text


def calls_in(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Every `tool(name=value, ...)` of a text, values as JSON or Python writes them."""
    return [_parsed(text[match.start() :]) for match in _CALL.finditer(text)]


def last_call(text: str) -> tuple[str, dict[str, Any]]:
    """The call that a text ends in."""
    line = text.strip().splitlines()[-1]
    assert line.startswith(("First call: `", "First ask the user, then call: `")) and line.endswith("`"), line
    return _parsed(line.partition("`")[2])


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    for end in (place + 1 for place, letter in enumerate(text) if letter == ")"):
        try:
            node = ast.parse(_keyword_free(text[:end]), mode="eval").body
        except SyntaxError:
            continue
        assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        return node.func.id, {str(one.arg).rstrip("_"): _value(one.value) for one in node.keywords}
    raise AssertionError(f"no whole call in {text[:200]!r}")


def _keyword_free(text: str) -> str:
    """`from` is an argument of ours and a word of Python's."""
    return re.sub(r"\bfrom=", "from_=", text)


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Name(id=word) if word in _WORDS:
            return _WORDS[word]
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {_value(key): _value(value) for key, value in pairs if key is not None}
        case ast.List():
            return [_value(item) for item in node.elts]
        case _:
            return ast.literal_eval(node)
