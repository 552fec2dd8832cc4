"""docs/errors.md: each kind of error, and the texts that the code has for it, taken from its syntax trees."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ollama_mcp import errors
from ollama_mcp.api.error_rules import STATUS_RULES, TEXT_RULES
from ollama_mcp.errors import KINDS, OllamaMCPError

ROOT = Path(__file__).resolve().parent.parent.parent
_CODE = ("ollama_mcp/**/*.py", "tools/*.py")
_LEFT_OUT = ("simulator", "cli")
_HEAD = """# Errors

What each error means, with the exact texts. An error is `[kind] What failed, and why. What to do next.`; a program goes
by the kind, the text is for the agent and for you. The texts are taken from the code; `...` stands for what is put in,
such as a name or Ollama's own words. A text that you cannot find here quotes Ollama, or is
[a symptom](troubleshooting.md).

| kind | when |
|---|---|
"""
_WHEN = {
    "unreachable": "the host's name is unknown, it refuses the connection, TLS fails, or something else listens there",
    "timeout": "nothing came, or nothing more, within the limit (`timeouts`); what came is kept",
    "interrupted": "the answer broke off; what came is kept",
    "bad_answer": "what answered is not Ollama's API, or its answer makes no sense",
    "model_not_found": "the model is not installed on the host, or not in the registry",
    "unsupported": "the model lacks a capability, such as vision",
    "unsupported_by_version": "this Ollama is too old; the text names the version that has it",
    "invalid_argument": "an argument is wrong; mostly nothing was sent",
    "not_allowed": "a setting forbids it; the text names the setting, or the command that allows it",
    "needs_confirmation": "it destroys or publishes something: `confirm`, after the user's yes, does it",
    "declined": "the user said no in a form, or did not answer",
    "too_long": "the prompt does not fit the context; the text has the figures and what helps",
    "unauthorized": "a key or a sign-in is needed",
    "forbidden": "Ollama or a proxy in front of it refuses this address, or the cloud is off",
    "busy": "the queue is full, or there are too many requests",
    "server_error": "Ollama failed, or the process that runs the model died",
    "no_answer": "the model ended without an answer, mostly since it used its tokens for thinking",
    "disk": "a file could not be read or written",
    "internal": "a fault of this server: please report it",
}


def errors_page() -> str:
    """The page."""
    texts: dict[str, set[str]] = defaultdict(set)
    for kind, text in (
        *_raised(),
        *((rule.kind.kind, _shown(rule.message, rule.next_step)) for rule in (*TEXT_RULES, *STATUS_RULES)),
    ):
        texts[kind].add(text)
    table = "\n".join(f"| [`{kind}`](#{kind}) | {_WHEN[kind]} |" for kind in KINDS)
    sections = "\n\n".join(_section(kind, texts[kind]) for kind in KINDS)
    return f"{_HEAD}{table}\n\n{sections}\n"


def _section(kind: str, texts: set[str]) -> str:
    when = _WHEN[kind]
    lines = [f"- `[{kind}] {text}`" for text in sorted(texts, key=str.lower)]
    return "\n".join([f"## {kind}", "", f"{when[0].upper()}{when[1:]}.", *([""] if lines else []), *lines])


def _raised() -> Iterator[tuple[str, str]]:
    """The kind and the text of each error that the code makes with a text of its own."""
    classes = {name: value.kind for name, value in vars(errors).items() if _is_error(value)}
    for pattern in _CODE:
        for file in sorted(ROOT.glob(pattern)):
            if not set(_LEFT_OUT) & set(file.relative_to(ROOT).parts):
                yield from _of_file(ast.parse(file.read_text(encoding="utf-8")), classes)


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, OllamaMCPError)


def _of_file(tree: ast.AST, classes: dict[str, str]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        # Either Error("text", next_step="text") or something.error(Error, "text", "text").
        named, *texts = [node.func, *node.args] if isinstance(node.func, ast.Name) else (node.args or [node])
        if isinstance(named, ast.Name) and named.id in classes and texts:
            steps = [one.value for one in node.keywords if one.arg == "next_step"]
            message, *rest = [_template(text) for text in (*texts[:2], *steps)]
            if len(message.replace("...", "").split()) > 2:
                yield classes[named.id], _shown(message, *rest)


def _template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
    if isinstance(node, ast.BinOp):
        return _template(node.left) + _template(node.right)
    return "..."


def _shown(*texts: str) -> str:
    words = " ".join(" ".join(re.sub(r"\{[^{}]*\}", "...", text) for text in texts).split())
    return re.sub(r"(\.\.\.\s*){2,}", "... ", words).replace("`", "'").strip()
