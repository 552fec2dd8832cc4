"""Where the definitions of a source text begin: functions, classes, types, by keywords and indentation.

No parser: what a formatter indents, these rules read in any common language, in linear time and constant memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

CODE_SUFFIXES = (
    *(".py", ".pyi", ".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte", ".java", ".kt"),
    *(".kts", ".scala", ".groovy", ".swift", ".go", ".rs", ".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"),
    *(".cs", ".m", ".mm", ".php", ".rb", ".lua", ".dart", ".ex", ".exs", ".jl", ".zig", ".nim", ".pl", ".pm", ".r"),
    *(".sh", ".bash", ".zsh", ".ps1", ".sql", ".proto", ".graphql", ".sol", ".v", ".sv", ".f90", ".hs", ".ml", ".fs"),
)
_MODIFIERS = (
    r"(?:(?:export|default|declare|public|private|protected|internal|static|final|abstract|sealed|open|override"
    r"|virtual|inline|async|unsafe|extern|pub(?:\([\w: ]{1,40}\))?|const|partial|data|suspend|local|readonly|typedef"
    r"|case|companion|implicit|lazy|noexport|mutating|nonisolated|required|convenience) +){0,6}"
)
_KEYWORD = re.compile(
    rf"{_MODIFIERS}"
    r"(?:def|class|func|fn|fun|function\*?|interface|struct|enum(?: class)?|union|trait|module|namespace|object"
    r"|protocol|extension|record|actor|macro_rules!|defmodule|defp|defmacro|sub|message|service|rpc|mod|contract|subroutine|type"
    r"|instance)\b"
    # A receiver (Go) or type parameters (Kotlin) may come before the name.
    r"(?: *\([^()]{0,100}\))?(?: *<[^<>]{0,100}>)? +([A-Za-z_$~][\w$.:]*)"
)
_IMPL = re.compile(r"(?:unsafe )?impl\b(?:<[^{]{0,100}?>)? *([^{]{1,150}?) *(?:where\b.*|\{.*)?")
_SQL = re.compile(
    r"create (?:or replace )?(?:temp(?:orary)? |unique |materialized )?"
    r"(?:table|view|function|procedure|index|trigger|type|schema) (?:if not exists )?[\"`\[]?([\w.\"]+)",
    re.IGNORECASE,
)
# `const name = (a, b) => {`, `name = function(a) {`, `name: async (a) => {`
_ASSIGNED = re.compile(
    rf"{_MODIFIERS}(?:let |var |val )?([A-Za-z_$][\w$.]*)(?: *: *[^=(]{{1,80}})? *(?:=|:|<-) *"
    r"(?:async *)?(?:function\b|\([^()]{0,200}\) *(?:: *[^={]{1,80})?=>|[A-Za-z_$][\w$]* *=>)"
)
# A function without a keyword (C, Java, C#, methods of JavaScript, the shell): `type name(arguments) {`
_BRACED = re.compile(
    r"(?:[\w$<>\[\],.?*&:~@]+ +){0,7}[*&]{0,2}([A-Za-z_$~][\w$:~]*)(?:<[^<>]{0,80}>)? ?"
    r"\([^;{}]*(?:\)[^;(){}]{0,80})?\{?"
)
_CONTROL = frozenset(
    (
        *("if", "for", "while", "switch", "catch", "return", "else", "do", "try", "with", "using", "lock", "foreach"),
        *("elif", "elseif", "unless", "until", "when", "match", "except", "assert", "print", "new", "throw", "await"),
        *("yield", "case", "in", "not", "and", "or", "sizeof", "typeof", "super", "this", "defer", "go", "select"),
    )
)
# Lines above a definition that belong to it: decorators, attributes, comments.
_LEADING = ("@", "#[", "#", "//", "/*", "*", "--", "'''", ";;")
# Lines on the level of a definition that still are part of it.
_CLOSING = re.compile(r"[)}\]|{=:,]|->|(?:end|else|elif|except|finally|catch|where|begin|then|do|in)\b", re.IGNORECASE)
_MAX_LINE = 300
# Deeper ones are details of the function around them.
_MAX_DEPTH = 3
_MAX_NAME = 80


def definitions(text: str) -> list[tuple[int, tuple[str, ...]]]:
    """Where sections of a source text begin, and the names of the definitions that each is in.

    Decorators and comments right above a definition belong to it. What follows a definition on its level or further
    out, and is none itself, begins a section of what is around it.

    Args:
        text: With "\\n" as its only line break.

    Returns:
        Pairs of offset and names, the outermost first, in order; names are empty where code is in no definition.
    """
    starts: list[tuple[int, tuple[str, ...]]] = []
    open_: list[tuple[int, str]] = []
    # Where the lines begin that would belong to a definition right below them, and how far they are indented.
    leading: tuple[int, int] | None = None
    for start, line, following in _lines(text):
        stripped = line.lstrip(" \t")
        if not stripped:
            leading = None
            continue
        indent = len(line.expandtabs(4)) - len(stripped.expandtabs(4))
        name = _name(stripped, following, indent)
        if not name and stripped.startswith(_LEADING):
            leading = leading if leading is not None and leading[1] == indent else (start, indent)
            continue
        outside = [one for one in open_ if one[0] < indent]
        if name and len(outside) < _MAX_DEPTH:
            open_ = [*outside, (indent, name)]
            begin = leading[0] if leading is not None and leading[1] == indent else start
            starts.append((begin, tuple(known for _, known in open_)))
        elif not name and len(outside) < len(open_) and not _CLOSING.match(stripped):
            open_ = outside
            begin = leading[0] if leading is not None else start
            starts.append((begin, tuple(known for _, known in open_)))
        elif leading is not None and (indent > leading[1] or stripped[0] in ")]}*"):
            # A decorator of several lines.
            continue
        leading = None
    return starts


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Offset and beginning of each line, and the first character of the next one."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        following = text[end + 1 : end + 1 + _MAX_LINE].split("\n", 1)[0].strip()
        yield start, text[start : min(end, start + _MAX_LINE)], following
        start = end + 1


def _name(line: str, following: str, indent: int) -> str:
    """The name of what a line defines, or ""."""
    if line[0] in "#/*\"'`<-|)}]":
        return ""
    if (found := _KEYWORD.match(line)) and not found[1].startswith("."):
        return found[1].rstrip(".:")[:_MAX_NAME]
    if line.startswith(("impl", "unsafe impl")) and (found := _IMPL.fullmatch(line)):
        return found[1].strip()[:_MAX_NAME]
    if line[:6].lower() == "create" and (found := _SQL.match(line)):
        return found[1].strip('"')[:_MAX_NAME]
    if "=>" in line or "function" in line:
        found = _ASSIGNED.match(line)
        return found[1][:_MAX_NAME] if found else ""
    before, bracket, _ = line.partition("(")
    words = before.split()
    # In C the arguments may stand on several lines; a call has no type before its name.
    begins = line.endswith("{") or following == "{" or (not indent and line.endswith((",", "(")) and len(words) > 1)
    if bracket and begins and "=" not in before and not _CONTROL.intersection(words):
        found = _BRACED.fullmatch(line)
        return found[1][:_MAX_NAME] if found else ""
    return ""
