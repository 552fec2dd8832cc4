"""Prompt files: TOML front matter between two `+++` lines, then the text that the agent reads.

In the text, `{name}` stands for an argument or for what the host says now, and a line that names a tool which is not
offered, or something that is not known, is left out. So `{by_path}` and `{inline}`, which are empty, begin lines for
clients that may name files and for those that may not. A last line `First call: ...` is the call that the text ends in;
of several the first one counts that is possible.
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
# No argument may have one of these names; `model` is both an argument and, where it was not given, a live value.
RESERVED = (HOST_VALUES - {"model"}) | {BY_PATH, INLINE}
TOOL_NAME = re.compile(r"\bollama_[a-z_]+")
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_CALLS = re.compile(rf"^(?=(?:\{{[a-z_]+\}})*{FIRST_CALL})", re.MULTILINE)

Capability = Literal["completion", "vision", "embedding", "tools", "thinking", "insert"]


class Argument(BaseModel):
    """An argument: free text, or a model's name."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: str = Field(pattern=r"^[a-z][a-z_]{0,23}$")
    description: str = Field(min_length=1, max_length=200)
    required: bool = False
    default: str = ""
    complete: Literal["models"] | list[str] = []


class FrontMatter(BaseModel):
    """What a host shows of a prompt before anybody uses it.

    Args:
        title: Shown in menus.
        description: One sentence: when to use it.
        capability: What a model must be able to do for it.
        needs: Tools without which it is not offered, beside the one of its first call.
        arguments: At most two, since some hosts take them by position; needed ones first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    title: str = Field(min_length=1, max_length=60)
    description: str = Field(min_length=1, max_length=200)
    capability: Capability = "completion"
    needs: list[str] = []
    arguments: list[Argument] = Field(default=[], max_length=2)


@dataclass(frozen=True)
class Prompt:
    """A prompt file that was read and found right."""

    name: str
    front_matter: FrontMatter
    body: str
    first_calls: tuple[str, ...]

    @property
    def title(self) -> str:
        """What menus show."""
        return self.front_matter.title

    @property
    def description(self) -> str:
        """When to use it."""
        return self.front_matter.description

    @property
    def arguments(self) -> list[Argument]:
        """Its arguments in order."""
        return self.front_matter.arguments

    @property
    def capability(self) -> Capability:
        """What a model must be able to do for it."""
        return self.front_matter.capability

    def is_available(self, offered: Collection[str]) -> bool:
        """Whether the tools are offered that it needs, and that of one of its first calls."""
        first = [set(TOOL_NAME.findall(call)[:1]) for call in self.first_calls]
        tools = set(offered)
        return tools.issuperset(self.front_matter.needs) and (not first or any(one <= tools for one in first))

    @cached_property
    def placeholders(self) -> set[str]:
        """All that stands in braces in its text."""
        return set(PLACEHOLDER.findall("".join((self.body, *self.first_calls))))

    @property
    def needs_host_state(self) -> bool:
        """Whether its text says anything that only the host knows."""
        return bool(HOST_VALUES & self.placeholders)

    def argument(self, name: str) -> Argument | None:
        """The argument of that name, or None."""
        return next((argument for argument in self.arguments if argument.name == name), None)


def load_prompts(folders: Iterable[str] = ()) -> tuple[dict[str, Prompt], list[str]]:
    """All prompts by name, the shipped ones first, and a line for each file that was skipped.

    A user's file never replaces a shipped prompt.

    Args:
        folders: The user's own folders.
    """
    prompts = {file.stem: parse_prompt(file) for file in sorted(shipped_path("prompts").glob("*.md"))}
    problems: list[str] = []
    for folder in (Path(folder).expanduser() for folder in folders):
        if not folder.is_dir():
            problems.append(f"prompt folder {folder} is skipped: there is no such folder")
        for file in sorted(folder.glob("*.md")):
            try:
                prompt = parse_prompt(file)
                if prompt.name in prompts:
                    raise InvalidArgument("a prompt of that name is there already")
            except (InvalidArgument, OSError, UnicodeDecodeError) as error:
                problems.append(f"prompt file {file} is skipped: {error}")
            else:
                prompts[prompt.name] = prompt
    return prompts, problems


def parse_prompt(file: Path) -> Prompt:
    """Read a prompt file; its stem is the prompt's name.

    Raises:
        InvalidArgument: Says what is wrong with it.
        OSError: It cannot be read.
        UnicodeDecodeError: It is no UTF-8.
    """
    text = file.read_text(encoding="utf-8-sig")
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", file.stem):
        raise InvalidArgument(f"its name {file.stem[:40]!r} is not 1 to 40 of a-z 0-9 _ -")
    opening, found, rest = text.partition(f"{FENCE}\n")
    head, closed, body = rest.partition(f"\n{FENCE}\n")
    if opening.strip() or not found or not closed:
        raise InvalidArgument(f"it does not begin with front matter between two lines {FENCE!r}")
    body, *calls = _CALLS.split(body)
    calls = tuple(call.replace(FIRST_CALL, "", 1).strip() for call in calls)
    prompt = Prompt(file.stem, _parse_front_matter(head), body.strip(), calls)
    _check(prompt)
    return prompt


def _parse_front_matter(text: str) -> FrontMatter:
    try:
        return FrontMatter.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"its front matter is no TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidArgument(f"its front matter is wrong at {where}: {first['msg'].lower()}") from None


def _check(prompt: Prompt) -> None:
    names = [argument.name for argument in prompt.arguments]
    required = [argument.required for argument in prompt.arguments]
    if len(set(names)) < len(names):
        raise InvalidArgument(f"it has two arguments {names[0]!r}")
    if required != sorted(required, reverse=True):
        raise InvalidArgument("its required argument must come first")
    if taken := RESERVED & set(names):
        raise InvalidArgument(f"its argument {min(taken)!r} has the name of a live value")
    known = {*names, *RESERVED, "model"}
    if unknown := prompt.placeholders - known:
        raise InvalidArgument(f"its text names {{{min(unknown)}}}, which is none of {', '.join(sorted(known))}")
    if not prompt.body and not prompt.first_calls:
        raise InvalidArgument("it has no text")
