"""Prompt files: TOML front matter between two `+++` lines, then the text that the agent reads.

In the text, `{name}` is replaced by an argument or by the present state of the host. A line that contains a tool which
is not offered, or a value that is not known, is omitted. So the values `{by_path}` and `{inline}`, which are empty,
start lines for clients that may name files and for clients that may not. Lines `First call: ...` at the end give the
call that the text ends with: the first of them that is possible.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ollama_mcp._paths import shipped_path
from ollama_mcp.errors import InvalidArgument

FENCE = "+++"
FIRST_CALL = "First call: "
HOST_VALUES = frozenset(("model", "models", "candidates", "installed", "loaded", "host"))
BY_PATH, INLINE = "by_path", "inline"
# Names that no argument may have. `model` may: if it was not given, the host's best model is the value.
RESERVED = (HOST_VALUES - {"model"}) | {BY_PATH, INLINE}
TOOL_NAME = re.compile(r"\bollama_[a-z_]+")
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_CALLS = re.compile(rf"^(?=(?:\{{[a-z_]+\}})*{FIRST_CALL})", re.MULTILINE)

Capability = Literal["completion", "vision", "embedding", "tools", "thinking", "insert"]


class Argument(BaseModel):
    """An argument of a prompt: free text, or the name of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: str = Field(pattern=r"^[a-z][a-z_]{0,23}$")
    description: str = Field(min_length=1, max_length=200)
    required: bool = False
    default: str = ""
    complete: Literal["models"] | list[str] = []


class FrontMatter(BaseModel):
    """What clients show of a prompt before it is used.

    Args:
        title: For menus.
        description: When to use it, in one sentence.
        capability: The capability that its model must have.
        needs: Tools without which it is not offered, beside the tool of its first call.
        arguments: At most two, required ones first, since some clients take them by position.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    title: str = Field(min_length=1, max_length=60)
    description: str = Field(min_length=1, max_length=200)
    capability: Capability = "completion"
    needs: list[str] = []
    arguments: list[Argument] = Field(default=[], max_length=2)


@dataclass(frozen=True)
class Prompt:
    """A prompt file that was read and checked."""

    name: str
    front_matter: FrontMatter
    body: str
    first_calls: tuple[str, ...]

    @property
    def title(self) -> str:
        """The title for menus."""
        return self.front_matter.title

    @property
    def description(self) -> str:
        """When to use it."""
        return self.front_matter.description

    @property
    def arguments(self) -> list[Argument]:
        """Its arguments, in order."""
        return self.front_matter.arguments

    @property
    def capability(self) -> Capability:
        """The capability that its model must have."""
        return self.front_matter.capability

    def is_available(self, offered: Collection[str]) -> bool:
        """Whether the tools that it needs are offered, and the tool of at least one of its first calls."""
        first = [set(TOOL_NAME.findall(call)[:1]) for call in self.first_calls]
        tools = set(offered)
        return tools.issuperset(self.front_matter.needs) and (not first or any(one <= tools for one in first))

    @cached_property
    def placeholders(self) -> set[str]:
        """All names in braces in its text."""
        return set(PLACEHOLDER.findall("".join((self.body, *self.first_calls))))

    @property
    def needs_host_state(self) -> bool:
        """Whether its text contains a value that only the host knows."""
        return bool(HOST_VALUES & self.placeholders)

    def argument(self, name: str) -> Argument | None:
        """The argument of that name, or None."""
        return next((argument for argument in self.arguments if argument.name == name), None)


def load_prompts(folders: Iterable[str] = ()) -> tuple[dict[str, Prompt], list[str]]:
    """All prompts by name, the shipped ones first, and one line for each file that was skipped.

    A user's file never replaces a shipped prompt.

    Args:
        folders: The user's own folders.
    """
    prompts = {file.stem: parse_prompt(file) for file in sorted(shipped_path("prompts").glob("*.md"))}
    problems: list[str] = []
    for folder in (Path(folder).expanduser() for folder in folders):
        if not folder.is_dir():
            problems.append(f"prompt folder {folder} is skipped: the folder does not exist")
        for file in sorted(folder.glob("*.md")):
            try:
                prompt = parse_prompt(file)
                if prompt.name in prompts:
                    raise InvalidArgument("a prompt of that name already exists")
            except (InvalidArgument, OSError, UnicodeDecodeError) as error:
                problems.append(f"prompt file {file} is skipped: {error}")
            else:
                prompts[prompt.name] = prompt
    return prompts, problems


def parse_prompt(file: Path) -> Prompt:
    """Read a prompt file; its stem is the prompt's name.

    Raises:
        InvalidArgument: The file is not a valid prompt; the message says why.
        OSError: The file cannot be read.
        UnicodeDecodeError: The file is not UTF-8.
    """
    # Editors on Windows may write a byte order mark.
    text = file.read_text(encoding="utf-8-sig")
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", file.stem):
        raise InvalidArgument(f"its name {file.stem[:40]!r} is not 1 to 40 characters of a-z 0-9 _ -")
    opening, found, rest = text.partition(f"{FENCE}\n")
    head, closed, body = rest.partition(f"\n{FENCE}\n")
    if opening.strip() or not found or not closed:
        raise InvalidArgument(f"it does not start with front matter between two lines {FENCE!r}")
    body, *calls = _CALLS.split(body)
    calls = tuple(call.replace(FIRST_CALL, "", 1).strip() for call in calls)
    prompt = Prompt(file.stem, _parse_front_matter(head), body.strip(), calls)
    _check(prompt)
    return prompt


def _parse_front_matter(text: str) -> FrontMatter:
    try:
        return FrontMatter.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"its front matter is not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidArgument(f"its front matter is invalid at {where}: {first['msg'].lower()}") from None


def _check(prompt: Prompt) -> None:
    names = [argument.name for argument in prompt.arguments]
    required = [argument.required for argument in prompt.arguments]
    if len(set(names)) < len(names):
        raise InvalidArgument(f"it has two arguments {names[0]!r}")
    if required != sorted(required, reverse=True):
        raise InvalidArgument("its required argument must come first")
    if taken := RESERVED & set(names):
        raise InvalidArgument(f"its argument {min(taken)!r} has the name of a value of the host")
    known = {*names, *RESERVED, "model"}
    if unknown := prompt.placeholders - known:
        raise InvalidArgument(f"its text contains {{{min(unknown)}}}, which is not one of {', '.join(sorted(known))}")
    if not prompt.body and not prompt.first_calls:
        raise InvalidArgument("it has no text")
