"""How an answer is compared with what an example expects: one class for each metric."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.comparison import comparable

if TYPE_CHECKING:
    from ollama_mcp.work.decide import ClosedQuestion

NAMES = ("exact", "normalised", "label", "number", "fields", "contains", "regex", "judge")
_NEXT = f"Give one of {', '.join(NAMES)}; number:0.5 or number:1% has a tolerance, judge: takes a rubric."
_NUMBER = re.compile(r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?")
_MARKS = " \t\r\n\"'`*_.,:;!?()[]{}<>"
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Score:
    """What one answer comes to.

    Args:
        right: Whether it is right.
        answered: The answer as a table names it.
        confidence: The probability that the model gave to its answer; None where it gave none.
        fields: For each field or question, whether it is right.
    """

    right: bool
    answered: str = ""
    confidence: float | None = None
    fields: Mapping[str, bool] = field(default_factory=dict[str, bool])


class Metric(Protocol):
    """Compares answers with what is expected."""

    @property
    def name(self) -> str:
        """As it is shown."""
        ...

    @property
    def has_labels(self) -> bool:
        """Whether answers and expectations are few, so that a table of them tells something."""
        ...

    def check(self, expected: Any) -> str:
        """Why no answer could be compared with this; "" where one can."""
        ...

    def score(self, output: Any, expected: Any) -> Score:
        """Compare an answer: a text, the value of a format, or verdicts by question."""
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """The same text, but for blanks around it."""

    name: str = "exact"
    has_labels: bool = True

    def check(self, expected: Any) -> str:
        """See `Metric`."""
        return ""

    def score(self, output: Any, expected: Any) -> Score:
        """See `Metric`."""
        return Score(as_text(output).strip() == as_text(expected).strip(), shortened(output))


@dataclass(frozen=True, slots=True)
class Normalised:
    """The same text, but for case, blanks, the presentation of characters (NFKC), and marks around it."""

    name: str = "normalised"
    has_labels: bool = True

    def check(self, expected: Any) -> str:
        """See `Metric`."""
        return "" if normalised(expected) else "it has no letter or digit"

    def score(self, output: Any, expected: Any) -> Score:
        """See `Metric`."""
        return Score(normalised(output) == normalised(expected), shortened(output))


@dataclass(frozen=True, slots=True)
class Label:
    """The one label that the answer is, or else names; the labels are all that the examples expect."""

    labels: Mapping[str, str]
    name: str = "label"
    has_labels: bool = True

    @classmethod
    def of(cls, expected: Collection[Any]) -> Label:
        """The metric for these expectations."""
        return cls({normalised(one): as_text(one).strip() for one in expected})

    def check(self, expected: Any) -> str:
        """See `Metric`."""
        return "" if normalised(expected) else "it has no letter or digit"

    def score(self, output: Any, expected: Any) -> Score:
        """See `Metric`."""
        answer = self._label(normalised(output))
        return Score(answer == normalised(expected), self.labels.get(answer, "(no label)"))

    def _label(self, answer: str) -> str:
        if answer in self.labels:
            return answer
        named = [label for label in self.labels if re.search(rf"(?<!\w){re.escape(label)}(?!\w)", answer)]
        # "not urgent" names "urgent" too.
        longest = [one for one in named if not any(one != other and one in other for other in named)]
        return longest[0] if len(longest) == 1 else ""


@dataclass(frozen=True, slots=True)
class Number:
    """The last number of the answer, within a tolerance, which may be a share of what is expected."""

    tolerance: float = 0.0
    is_share: bool = False
    name: str = "number"
    has_labels: bool = False

    def check(self, expected: Any) -> str:
        """See `Metric`."""
        return "" if number_in(expected) is not None else "it is not a number"

    def score(self, output: Any, expected: Any) -> Score:
        """See `Metric`."""
        answer, wanted = number_in(output), number_in(expected)
        if answer is None or wanted is None:
            return Score(False, "(no number)")
        most = abs(wanted) * self.tolerance if self.is_share else self.tolerance
        # Decimal fractions have no exact form: 0.3 is within 0.1 of 0.2.
        return Score(abs(answer - wanted) <= most + 1e-9 * max(1.0, abs(wanted)), f"{answer:g}")


@dataclass(frozen=True, slots=True)
class Contains:
    """The answer contains what is expected; of a list, all items."""

    name: str = "contains"
    has_labels: bool = False

    def check(self, expected: Any) -> str:
        """See `Metric`."""
        return "" if all(map(normalised, _items(expected))) else "it has no letter or digit"

    def score(self, output: Any, expected: Any) -> Score:
        """See `Metric`."""
        answer = normalised(output)
        return Score(all(normalised(item) in answer for item in _items(expected)), shortened(output))


@dataclass(frozen=True, slots=True)
class Regex:
    """The answer matches the pattern that is expected, anywhere in it, in linear time (Rust's engine)."""

    name: str = "regex"
    has_labels: bool = False

    def check(self, expected: Any) -> str:
        """See `Metric`."""
        from ollama_mcp.formats.json_schema import check_schema

        try:
            check_schema(_pattern_schema(expected))
        except InvalidArgument:
            return "it is no pattern that can be matched in linear time (no look-around, no back-reference)"
        return ""

    def score(self, output: Any, expected: Any) -> Score:
        """See `Metric`."""
        from ollama_mcp.formats.json_schema import find_mismatch

        return Score(not find_mismatch(_pattern_schema(expected), as_text(output)), shortened(output))


@dataclass(frozen=True, slots=True)
class Fields:
    """Each field that is expected has the same value in the answer: texts as `Normalised`, numbers as numbers."""

    name: str = "fields"
    has_labels: bool = False

    def check(self, expected: Any) -> str:
        """See `Metric`."""
        return "" if as_object(expected) else "it is not a JSON object"

    def score(self, output: Any, expected: Any) -> Score:
        """See `Metric`."""
        wanted, given = as_object(expected) or {}, as_object(output)
        if given is None:
            return Score(False, "(no JSON object)", fields=dict.fromkeys(wanted, False))
        fields = {name: name in given and same_value(given[name], value) for name, value in wanted.items()}
        return Score(all(fields.values()), shortened(output), fields=fields)


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to questions: what is expected is the option of the one question, or an object by question."""

    questions: Sequence[ClosedQuestion]
    name: str = "label"

    @property
    def has_labels(self) -> bool:
        """See `Metric`."""
        return len(self.questions) == 1

    def check(self, expected: Any) -> str:
        """See `Metric`."""
        wanted = self.wanted(expected)
        if wanted is None:
            return "it is no object with the answer to each question"
        for question in self.questions:
            if question.name not in wanted:
                return f"it has no answer to {question.name[:60]!r}"
            if option_of(question, wanted[question.name]) is None:
                options = ", ".join(question.options)
                return f"{question.name[:60]!r} has no such option (it has: {options[:120]})"
        return ""

    def wanted(self, expected: Any) -> Mapping[str, Any] | None:
        """What is expected, by question."""
        if len(self.questions) == 1 and not isinstance(expected, dict):
            return {self.questions[0].name: expected}
        return as_object(expected)

    def score(self, output: Any, expected: Any) -> Score:
        """See `Metric`."""
        wanted, verdicts = self.wanted(expected) or {}, cast("dict[str, dict[str, Any]]", output)
        fields = {
            question.name: verdicts[question.name]["answer"] == option_of(question, wanted[question.name])
            for question in self.questions
        }
        first = verdicts[self.questions[0].name]
        answered = first["answer"] if self.has_labels else json.dumps({n: v["answer"] for n, v in verdicts.items()})
        # Of several questions that failed, the one that the model was surest of.
        sure = [_probability(verdicts[name]) for name, right in fields.items() if not right] or [_probability(first)]
        known = [one for one in sure if one is not None]
        return Score(all(fields.values()), answered, max(known, default=None), fields if len(fields) > 1 else {})


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model says of the answer, yes or no; its verdict takes the place of the answer."""

    rubric: str
    name: str = "judge"
    has_labels: bool = False

    def check(self, expected: Any) -> str:
        """See `Metric`."""
        return ""

    def score(self, output: Any, expected: Any) -> Score:
        """See `Metric`; `output` is the verdict as the judge's record has it."""
        (verdict,) = cast("dict[str, dict[str, Any]]", output).values()
        return Score(verdict["answer"] == "yes", confidence=_probability(verdict))


def parse_metric(given: str, expected: Collection[Any], questions: Sequence[ClosedQuestion], *, fields: bool) -> Metric:
    """The metric that an argument names.

    Args:
        given: The argument; "" for label with questions, fields with a format, else normalised.
        expected: What the examples expect.
        questions: The questions, if there are any.
        fields: Whether answers are JSON objects.

    Raises:
        InvalidArgument: There is no such metric, or it does not go with the task.
    """
    name, _, parameter = given.partition(":")
    name, parameter = name.strip().lower(), parameter.strip()
    if questions:
        if name not in ("", "label", "exact"):
            raise InvalidArgument(f"metric is {given[:40]!r}, but questions have labels.", next_step="Leave it out.")
        return Answers(questions)
    match name:
        case "":
            return Fields() if fields else Normalised()
        case "exact":
            return Exact()
        case "normalised" | "normalized":
            return Normalised()
        case "label":
            return Label.of(expected)
        case "number":
            return _number(parameter, given)
        case "fields":
            return Fields()
        case "contains":
            return Contains()
        case "regex":
            return Regex()
        case "judge":
            return Judged(parameter or "Does the answer say the same as the expected answer?")
        case _:
            raise InvalidArgument(f"metric is {given[:40]!r}.", next_step=_NEXT)


def _number(parameter: str, given: str) -> Number:
    is_share = parameter.endswith("%")
    try:
        tolerance = float(parameter.rstrip("% ") or 0)
    except ValueError:
        tolerance = -1.0
    # Not a comparison with "<", which NaN would pass.
    if not 0 <= tolerance < float("inf"):
        raise InvalidArgument(f"metric is {given[:40]!r}.", next_step="Give number, number:0.5 or number:1%.")
    return Number(tolerance / 100 if is_share else tolerance, is_share)


def as_text(value: Any) -> str:
    """A value as text: JSON where it is none."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def normalised(value: Any) -> str:
    """The form in which texts are compared: without case, marks around it, and differences of presentation."""
    return comparable(unicodedata.normalize("NFKC", as_text(value))).casefold().strip(_MARKS)


def shortened(value: Any) -> str:
    """The value on one line, as a table shows it."""
    text = " ".join(as_text(value).split())
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def number_in(value: Any) -> float | None:
    """The last number in a text; None where there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    found = [one for one in _NUMBER.findall(as_text(value)) if any(map(str.isdigit, one))]
    return float(found[-1].replace(",", "").replace("\u2212", "-")) if found else None


def same_value(given: Any, wanted: Any) -> bool:
    """Whether two JSON values are the same: texts as they are compared, a number also where one of them is its text."""
    if isinstance(wanted, dict):
        pairs = cast("dict[str, Any]", wanted)
        members = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        return all(name in members and same_value(members[name], value) for name, value in pairs.items())
    if isinstance(wanted, list):
        items, others = cast("list[Any]", wanted), cast("list[Any]", given) if isinstance(given, list) else None
        return others is not None and len(others) == len(items) and all(map(same_value, others, items))
    if isinstance(given, dict | list):
        return False
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        number = number_in(given) if isinstance(given, str) else given
        return isinstance(number, int | float) and not isinstance(number, bool) and float(number) == float(wanted)
    return normalised(given) == normalised(wanted)


def as_object(value: Any) -> dict[str, Any] | None:
    """A JSON object, given as one or as its text; None for anything else."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def option_of(question: ClosedQuestion, expected: Any) -> str | None:
    """The option of a question that an expectation means; None where it has none such."""
    if isinstance(expected, bool):
        expected = "yes" if expected else "no"
    form = normalised(expected)
    return next((option for option in question.options if normalised(option) == form), None)


def _probability(verdict: Mapping[str, Any]) -> float | None:
    probabilities = verdict.get("probabilities")
    return probabilities.get(verdict["answer"]) if probabilities else None


def _items(expected: Any) -> Sequence[Any]:
    return cast("list[Any]", expected) if isinstance(expected, list) else [expected]


def _pattern_schema(pattern: Any) -> dict[str, Any]:
    return {"type": "string", "pattern": as_text(pattern)}
