"""Models of known accuracy: a prompt holds its right answer in double brackets, which a model gives that often.

`Classify: the invoice is wrong [[billing]]` is answered with "billing" as often as the dial of the model says. How sure
the model is of an answer, as its log-probabilities tell, is drawn for each prompt, and it is right as often as it is
sure: on average that is its accuracy. The same prompt is always answered the same.
"""

from __future__ import annotations

import json
import random
import re
import zlib
from dataclasses import dataclass
from typing import Any, cast

_ANSWER = re.compile(r"\[\[(.+?)\]\](?!\])", re.DOTALL)
_WRONG = "something else"


@dataclass(frozen=True, slots=True)
class DialledAnswer:
    """What a model of known accuracy answers to a prompt.

    Args:
        expected: The right answer, as the prompt has it.
        is_right: Whether it gives that.
        sure: The probability that it gives to its answer.
    """

    expected: str
    is_right: bool
    sure: float

    def choose(self, options: dict[str, str]) -> dict[str, float] | None:
        """The probabilities of options, by their keys; None where the right answer is none of their texts."""
        keys = [key for key, text in options.items() if _same(text, self.expected)]
        others = [key for key in options if key not in keys]
        if not keys or not others:
            return None
        chosen = keys[0] if self.is_right else others[zlib.crc32(self.expected.encode()) % len(others)]
        # What is chosen is the likeliest, however poor the model is.
        sure = max(self.sure, 1.02 / len(options))
        rest = (1 - sure) / (len(options) - 1)
        return {key: sure if key == chosen else rest for key in options}

    def text(self) -> str:
        """The answer in words."""
        return self.expected if self.is_right else _WRONG

    def value(self, schema: Any, generated: Any) -> Any:
        """The answer for a schema, which the generated value takes the form from."""
        properties = cast("dict[str, Any]", schema).get("properties") if isinstance(schema, dict) else None
        fields = {name: part.get("enum") for name, part in cast("dict[str, Any]", properties or {}).items()}
        if fields and all(fields.values()):
            return {name: self._option(enum) for name, enum in fields.items()}
        try:
            right: Any = json.loads(self.expected)
        except ValueError:
            right = None
        if not isinstance(right, dict):
            return generated
        members = cast("dict[str, Any]", right)
        first = next(iter(members), "")
        return members if self.is_right else {**members, first: _changed(members.get(first))}

    def _option(self, enum: list[str]) -> str:
        others = [option for option in enum if not _same(option, self.expected)]
        right = next((option for option in enum if _same(option, self.expected)), enum[0])
        return right if self.is_right or not others else others[0]


def dialled(accuracy: float | None, model: str, prompt: str) -> DialledAnswer | None:
    """What a model answers; None where it has no dial, or the prompt names no answer."""
    if accuracy is None or (found := _ANSWER.search(prompt)) is None:
        return None
    chance = random.Random(zlib.crc32(f"{model}\0{prompt}".encode("utf-8", "replace")))
    spread = min(1 - accuracy, max(0.0, accuracy - 0.5))
    sure = accuracy + spread * (2 * chance.random() - 1)
    return DialledAnswer(found[1].strip(), chance.random() < sure, min(max(sure, 0.001), 0.999))


def _same(option: str, expected: str) -> bool:
    # An option may be followed by what it means.
    return option.partition(": ")[0].strip().casefold() == expected.strip().casefold()


def _changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else _WRONG
