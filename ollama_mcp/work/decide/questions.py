"""Questions with a fixed set of answers, and whether they can be asked."""

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from ollama_mcp.errors import InvalidArgument

# Both ends of what System One takes (contract of POST /v1/systemone).
FEWEST, MOST = 2, 26
# Enough to let each of a few options stand everywhere once, without asking twenty times.
MOST_ORDERS = 5


def _labels(value: Any) -> Any:
    """Labels as an object `label: meaning` or as a list of "label" and "label: meaning"."""
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
    """A class's docstring is for readers of the code; in a tool list it costs tokens."""
    schema.pop("description", None)


Labels = Annotated[
    dict[str, str],
    BeforeValidator(_labels),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
Type = Literal["choice", "yes_no", "score"]


class Question(BaseModel):
    """A question about a text or an image.

    Args:
        question: What is asked.
        name: What the answer is filed under; the question itself where left out.
        type: choice (one of `labels`), yes_no, or score (a place among `levels`); where left out, as labels and levels
            tell. It is not in the published schema, which every user pays for.
        labels: For choice, what can be answered and what each means ("" where the label says it).
        levels: For score, lowest first.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True, json_schema_extra=_without_docstring)

    question: str
    name: str = ""
    labels: Labels = {}
    levels: list[str] = []
    type: SkipJsonSchema[Type] = "yes_no"

    def model_post_init(self, context: Any) -> None:
        """Fill in what was left out."""
        self.name = self.name.strip() or self.question.strip()
        if "type" not in self.model_fields_set:
            self.type = "choice" if self.labels else "score" if self.levels else "yes_no"

    @property
    def options(self) -> dict[str, str]:
        """What can be answered, in order, and what each means."""
        match self.type:
            case "choice":
                return self.labels
            case "score":
                return dict.fromkeys((level.strip() for level in self.levels), "")
            case "yes_no":
                return {"yes": "", "no": ""}

    def orders(self, *, shuffle: bool) -> list[list[int]]:
        """The orders to show the options in: the given one, or several in which each stands elsewhere.

        They are the same each time, so that a call can be repeated. Levels are turned round, not mixed.
        """
        given = list(range(len(self.options)))
        if not shuffle:
            return [given]
        if self.type != "choice":
            return [given, given[::-1]]
        mixed = random.Random(self.name).sample(given, len(given))
        turns = min(len(given), MOST_ORDERS)
        starts = [turn * len(given) // turns for turn in range(turns)]
        return [mixed[start:] + mixed[:start] for start in starts]


def check_questions(questions: Sequence[Question], most: int) -> None:
    """Refuse what could not be asked, before anything is.

    Raises:
        InvalidArgument: Names the question, and what to change.
    """
    if not questions:
        raise InvalidArgument(
            "questions is empty.", next_step="Give one such as {'question': 'Which team?', 'labels': ['a', 'b']}."
        )
    if len(questions) > most:
        raise InvalidArgument(
            f"questions has {len(questions):,} items, at most {most:,} are taken.",
            next_step="Send fewer, or raise limits.questions in the settings.",
        )
    seen: set[str] = set()
    for place, question in enumerate(questions, start=1):
        if not question.question.strip():
            raise InvalidArgument(
                f"Question {place} asks nothing.", next_step="Say in `question` what is to be decided."
            )
        if question.name in seen:
            raise InvalidArgument(f"Two questions are named {question.name[:60]!r}.", next_step="Name each once.")
        seen.add(question.name)
        _check(question)


def _check(question: Question) -> None:
    name = f"Question {question.name[:60]!r}"
    if question.labels and question.type != "choice":
        raise InvalidArgument(f"{name} is a {question.type}, which takes no labels.", next_step="Make it a choice.")
    if question.levels and question.type != "score":
        raise InvalidArgument(f"{name} is a {question.type}, which takes no levels.", next_step="Make it a score.")
    given = "labels" if question.type == "choice" else "levels"
    options = question.options
    if len(question.levels) > len(options) and question.type == "score":
        raise InvalidArgument(f"{name} has a level twice.", next_step="Give each once, lowest first.")
    if not FEWEST <= len(options) <= MOST:
        raise InvalidArgument(
            f"{name} has {len(options)} {given}, but takes {FEWEST} to {MOST}.",
            next_step=f"Give {given}; sort into groups first where there are more.",
        )
    if "" in options:
        raise InvalidArgument(f"{name} has {given} without a word.", next_step="Give each a text.")
