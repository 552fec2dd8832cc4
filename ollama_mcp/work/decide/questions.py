"""Closed questions: those with a fixed set of answers, and the checks that they can be asked."""

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from ollama_mcp.errors import InvalidArgument

# The limits of decision models (contract of POST /v1/systemone).
MIN_OPTIONS, MAX_OPTIONS = 2, 26
# Lets each of up to five options stand at every place once, without asking twenty times.
MAX_ORDERS = 5


def _parse_labels(value: Any) -> Any:
    """Accept labels as an object `{label: meaning}`, or as a list of "label", "label: meaning" and such objects."""
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        return value
    found: dict[str, str] = {}
    for item in cast("list[Any]", value):
        if isinstance(item, Mapping):
            pairs = [(str(label), "" if text is None else str(text)) for label, text in cast("Any", item).items()]
        else:
            label, _, text = str(item).partition(": ")
            pairs = [(label, text)]
        for label, text in pairs:
            if label.strip() in found:
                raise InvalidArgument(f"labels name {label.strip()[:40]!r} twice.", next_step="Give each label once.")
            found[label.strip()] = text.strip()
    return found


def _without_docstring(schema: dict[str, Any]) -> None:
    """Keep the docstring, which is for readers of the code, out of the tool list."""
    schema.pop("description", None)


Labels = Annotated[
    dict[str, str],
    BeforeValidator(_parse_labels),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
QuestionType = Literal["choice", "yes_no", "score"]


class ClosedQuestion(BaseModel):
    """A question about a text or an image that is answered with one of several options.

    Args:
        question: What is asked.
        name: The name of the answer in the result; the question itself where it is left out.
        type: choice (one of `labels`), yes_no, or score (one of `levels`); where it is left out, labels and levels
            decide. It is not in the published schema, which every user pays for.
        labels: For a choice, the options and what each means ("" where the label says it).
        levels: For a score, the options, lowest first.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True, json_schema_extra=_without_docstring)

    question: str
    name: str = ""
    labels: Labels = {}
    levels: list[str] = []
    type: SkipJsonSchema[QuestionType] = "yes_no"

    def model_post_init(self, context: Any) -> None:
        """Fill in the name and the type where they are left out."""
        self.name = self.name.strip() or self.question.strip()
        if "type" not in self.model_fields_set:
            self.type = "choice" if self.labels else "score" if self.levels else "yes_no"

    @property
    def options(self) -> dict[str, str]:
        """The possible answers, in order, and what each means."""
        match self.type:
            case "choice":
                return self.labels
            case "score":
                return dict.fromkeys((level.strip() for level in self.levels), "")
            case "yes_no":
                return {"yes": "", "no": ""}

    def orders(self, *, shuffle: bool) -> list[list[int]]:
        """The orders to show the options in: the given one, or several in which each option stands elsewhere.

        The orders are the same each time, so that a call can be repeated. Levels are reversed, not mixed.
        """
        given = list(range(len(self.options)))
        if not shuffle:
            return [given]
        if self.type != "choice":
            return [given, given[::-1]]
        # Seeded with the name: the same question has the same orders in every process.
        mixed = random.Random(self.name).sample(given, len(given))
        count = min(len(given), MAX_ORDERS)
        # Rotations of one shuffled order, evenly apart: no option stands at one place twice.
        starts = [index * len(given) // count for index in range(count)]
        return [mixed[start:] + mixed[:start] for start in starts]


def check_questions(questions: Sequence[ClosedQuestion], limit: int) -> None:
    """Check that all questions can be asked, before any of them is.

    Args:
        questions: The questions.
        limit: The most that are taken.

    Raises:
        InvalidArgument: One cannot; names it, and what to change.
    """
    if not questions:
        raise InvalidArgument(
            "questions is empty.", next_step="Give one such as {'question': 'Which team?', 'labels': ['a', 'b']}."
        )
    if len(questions) > limit:
        raise InvalidArgument(
            f"questions has {len(questions):,} items, at most {limit:,} are taken.",
            next_step="Send fewer, or raise limits.questions in the settings.",
        )
    seen: set[str] = set()
    for number, question in enumerate(questions, start=1):
        if not question.question.strip():
            raise InvalidArgument(f"Question {number} is empty.", next_step="Say in `question` what is to be decided.")
        if question.name in seen:
            raise InvalidArgument(f"Two questions are named {question.name[:60]!r}.", next_step="Name each once.")
        seen.add(question.name)
        _check(question)


def _check(question: ClosedQuestion) -> None:
    name = f"Question {question.name[:60]!r}"
    if question.labels and question.levels:
        raise InvalidArgument(
            f"{name} has both labels and levels.",
            next_step="Give labels for one of several answers, or levels for a scale from low to high.",
        )
    # `type` may be given, though the published schema does not have it.
    for member, given, implied in (("labels", question.labels, "choice"), ("levels", question.levels, "score")):
        if given and question.type != implied:
            raise InvalidArgument(
                f"{name} has {member}, but its type is {question.type!r}.", next_step=f"Leave type or {member} out."
            )
    member = "labels" if question.type == "choice" else "levels"
    options = question.options
    if len(question.levels) > len(options) and question.type == "score":
        raise InvalidArgument(f"{name} has a level twice.", next_step="Give each once, lowest first.")
    if not MIN_OPTIONS <= len(options) <= MAX_OPTIONS:
        raise InvalidArgument(
            f"{name} has {len(options)} {member}, but takes {MIN_OPTIONS} to {MAX_OPTIONS}.",
            next_step=f"Give {member}; where there are more, sort into groups first.",
        )
    if "" in options:
        raise InvalidArgument(f"{name} has empty {member}.", next_step="Give each a text.")
