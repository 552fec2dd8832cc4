"""Which model is asked how many examples, and when enough is known: the sequential part, without any request.

The smallest model comes first. A round gives each model that is still open a block of examples, so that each is loaded
once a round; within its block a model stops as soon as the goal lies outside its interval. The intervals hold at every
look (`intervals` names the method), each for its own model. A model that would hardly be shown to reach the goal with
all examples waits (futility, by the beta-binomial predictive probability, which cannot make a verdict wrong): it goes
on only if no other is shown to. Where a model reaches the goal, larger ones are asked no further than one block, which
shows what they are like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ollama_mcp.work.evaluate.intervals import Target, chance_of, is_decided, rights_needed

# Examples of the first block, and those after which a model is looked at again. A block grows with what is known, so
# that many examples are not many loads.
FIRST_BLOCK, STEP = 60, 20
_GROWTH = 0.5
# Below this chance of showing the goal with all examples, a model waits.
_HOPELESS = 0.05

State = Literal["open", "reached", "under", "waiting", "failed"]


@dataclass(slots=True)
class Standing:
    """How a model stands.

    Attributes:
        model: Its name.
        right: Examples that it answered right.
        seen: Examples that count for it.
        taken: Examples that were given to it, those among them that count for nothing because the host failed.
        state: Whether it is decided; "waiting" goes on only if no other model reaches the goal.
    """

    model: str
    right: int = 0
    seen: int = 0
    taken: int = 0
    state: State = "open"

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.right / self.seen if self.seen else 0.0


@dataclass(slots=True)
class Race:
    """The models of an evaluation, smallest first.

    Args:
        models: Their names.
        total: How many examples there are.
        target: The accuracy to reach, and how sure that has to be.
    """

    models: Sequence[str]
    total: int
    target: Target
    standings: list[Standing] = field(init=False)
    _patient: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.standings = [Standing(model) for model in self.models]

    @property
    def found(self) -> Standing | None:
        """The smallest model that reaches the goal."""
        return next((one for one in self.standings if one.state == "reached"), None)

    def round(self) -> list[tuple[Standing, int]]:
        """The models to be asked now, each with the number of examples to reach; none once enough is known."""
        chosen = self._open()
        if not chosen and self.found is None:
            # Nobody is left who could end it earlier.
            self._patient = True
            for one in self.standings:
                one.state = "open" if one.state == "waiting" else one.state
            chosen = self._open()
        return [(one, self._block_end(one)) for one in chosen]

    def is_wanted(self, standing: Standing) -> bool:
        """Whether a model of the round is still to be asked: a smaller one may have reached the goal meanwhile."""
        smaller = self.standings[: self.standings.index(standing)]
        return not standing.taken or not any(one.state == "reached" for one in smaller)

    def update(self, standing: Standing, *, right: int, seen: int, taken: int) -> bool:
        """Take note of how a model stands; returns whether it is to be asked on in this block."""
        standing.right, standing.seen, standing.taken = right, seen, taken
        if seen and is_decided(right, seen, self.target):
            standing.state = "reached" if standing.accuracy > self.target.goal else "under"
        elif not self._patient and self._chance(standing) < _HOPELESS:
            standing.state = "waiting"
        return standing.state == "open"

    def fail(self, standing: Standing) -> None:
        """Take note that a model cannot be asked any more."""
        standing.state = "failed"

    def _open(self) -> list[Standing]:
        chosen: list[Standing] = []
        for one in self.standings:
            if one.state == "reached":
                break
            if one.state == "open" and one.taken < self.total:
                chosen.append(one)
        return chosen

    def _block_end(self, standing: Standing) -> int:
        return min(self.total, max(FIRST_BLOCK, standing.taken + max(STEP, round(_GROWTH * standing.taken))))

    def _chance(self, standing: Standing) -> float:
        left = self.total - standing.taken
        total = standing.seen + left
        wanted = rights_needed(total, self.target) - standing.right
        return chance_of(wanted, left, standing.right, standing.seen)
