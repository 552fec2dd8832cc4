"""Who a call is made for: known to the transport, and to what reaches a host in its name."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, get_args

from ollama_mcp import clock
from ollama_mcp.errors import Busy, InvalidArgument, NotAllowed
from ollama_mcp.formats.model_names import parse_name
from ollama_mcp.settings.auth import PrincipalSettings

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings

Scope = Literal["read", "use", "manage", "files", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

# Who may use models or manage them has to see which there are: errors and questions name them.
_IMPLY_READ = frozenset(("use", "manage"))
OTHERS = "*"
LOCAL = "local"
"""Stands for the user of this process, who has no token."""
AUTOMATIC = "auto"
"""Has the token that `auth.token` makes."""
_NO_LIMITS = PrincipalSettings()
_MINUTE = 60.0
_DAY = 86_400

T = TypeVar("T")


class Account:
    """What somebody has used: one for all sessions and tokens of a name.

    Args:
        tokens: Those of this day, from before.
        spent: Told of those that are added.
    """

    def __init__(self, tokens: int = 0, spent: Callable[[int], None] = lambda tokens: None) -> None:
        self.running = 0
        self.tokens = tokens
        self._spent = spent
        self._day = _today()
        self._starts: deque[float] = deque()

    @contextmanager
    def call(self, name: str, limits: PrincipalSettings) -> Generator[None]:
        """Count a call while the block runs.

        Raises:
            Busy: It is one too many.
        """
        now = time.monotonic()
        while self._starts and now - self._starts[0] >= _MINUTE:
            self._starts.popleft()
        if limits.calls and self.running >= limits.calls:
            raise Busy(f"{name[:80]!r} has {self.running} calls running, its limit.", next_step="Wait for one to end.")
        if limits.calls_per_minute and len(self._starts) >= limits.calls_per_minute:
            left = _MINUTE - (now - self._starts[0])
            raise Busy(
                f"{name[:80]!r} has made {len(self._starts)} calls in a minute, its limit.",
                next_step=f"Try again in {left:.0f} s.",
                retry_after=left,
            )
        self.check_tokens(name, limits)
        if limits.calls_per_minute:
            self._starts.append(now)
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def spend(self, tokens: int) -> None:
        """Count the tokens of an answer and its prompt."""
        self._begin_day()
        self.tokens += tokens
        self._spent(tokens)

    def correct(self, day: int, tokens: int) -> None:
        """Take over the tokens of a day, with those that other processes have counted."""
        self._begin_day()
        if day == self._day:
            self.tokens = tokens

    def check_tokens(self, name: str, limits: PrincipalSettings) -> None:
        """Return if there are tokens left for today.

        Raises:
            Busy: There are none.
        """
        self._begin_day()
        if limits.tokens_per_day and self.tokens >= limits.tokens_per_day:
            left = _DAY - clock.now() % _DAY
            raise Busy(
                f"{name[:80]!r} has used {self.tokens:,} tokens today; its limit is {limits.tokens_per_day:,}.",
                next_step=f"A new day begins at 00:00 UTC, in {left / 3600:.1f} hours.",
                retry_after=left,
            )

    def _begin_day(self) -> None:
        if (today := _today()) != self._day:
            self._day, self.tokens = today, 0


def _today() -> int:
    return int(clock.now() // _DAY)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with a name who may do some things.

    Args:
        name: Of the token, or the subject that the issuer vouches for.
        scopes: What may be done, as it was granted.
        limits: What may be used, and how much.
        account: What has been used.
        credential: What tells its token from another one of the same name, or b"".
    """

    name: str
    scopes: frozenset[str]
    limits: PrincipalSettings = _NO_LIMITS
    account: Account = field(default_factory=Account, compare=False)
    credential: bytes = field(default=b"", compare=False, repr=False)

    def may(self, scope: Scope) -> bool:
        """Whether the scope was granted, by itself or as part of another."""
        return scope in self.scopes or (scope == "read" and not self.scopes.isdisjoint(_IMPLY_READ))

    @property
    def sees_less(self) -> bool:
        """Whether what it sees of hosts and models is not what others see."""
        return bool(self.limits.hosts or self.limits.models or self.limits.denied_models)

    def may_reach(self, host: str) -> bool:
        """Whether a host may be used."""
        return not self.limits.hosts or host in self.limits.hosts

    def may_name(self, model: str) -> bool:
        """Whether a model may be used, by its name alone."""
        limits = self.limits
        return not self.denies(model) and (not limits.models or matches(model, limits.models, narrowly=True))

    def denies(self, model: str) -> bool:
        """Whether the name is one of those that are denied; what is no name is."""
        return bool(self.limits.denied_models) and matches(model, self.limits.denied_models, unless_valid=True)


# None stands for the user of this process: everybody over stdio, and over HTTP without tokens. Tasks inherit it.
CURRENT_PRINCIPAL: ContextVar[Principal | None] = ContextVar("principal", default=None)


def spend_tokens(tokens: int) -> None:
    """Count tokens for whoever this task works for."""
    if (principal := CURRENT_PRINCIPAL.get()) is not None:
        principal.account.spend(tokens)


class Named(Protocol):
    """A model as a host lists it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def digest(self) -> str:
        """What tells it from another of the same name."""
        ...


N = TypeVar("N", bound=Named)


def limits_for(settings: Settings, name: str) -> PrincipalSettings:
    """The limits of a name: its own, else those of all others."""
    return settings.principals.get(name) or settings.principals.get(OTHERS) or _NO_LIMITS


def matches(model: str, patterns: Sequence[str], *, unless_valid: bool = False, narrowly: bool = False) -> bool:
    """Whether a model's name, as Ollama compares names, matches a pattern; `unless_valid` where it is no name.

    A pattern without a tag stands for every tag. `narrowly`, one that begins with a letter and has no slash is about
    models of the library: `qwen3*` is no namespace and no host whose name begins so.
    """
    try:
        name = parse_name(model)
    except InvalidArgument:
        return unless_valid
    short = name.short.lower()
    known = (short, short.rpartition(":")[0], name.key)
    lowered = [pattern.strip().lower() for pattern in patterns]
    return any(
        fnmatchcase(one, pattern)
        for one in known
        for pattern in lowered
        if not (narrowly and "/" in one and "/" not in pattern and not pattern.startswith(("*", "?", "[")))
    )


def visible(models: list[N]) -> list[N]:
    """Those of a host's models that whoever asks may use; without copies of those that are denied."""
    principal = CURRENT_PRINCIPAL.get()
    if principal is None or not principal.sees_less:
        return models
    denied = {model.digest for model in models if principal.denies(model.name)}
    return [model for model in models if model.digest not in denied and principal.may_name(model.name)]


def denied_model(principal: Principal, model: str, why: str = "") -> NotAllowed:
    """The error for a model that somebody may not use."""
    return NotAllowed(
        f"{principal.name[:80]!r} may not use the model {model[:80]!r}{why}.",
        next_step="ollama_list_models lists those that may be used.",
    )


async def unrestricted(fetch: Callable[[], Awaitable[T]]) -> T:
    """What a function returns for the user of this process: for what is kept for all, and judged for each."""
    current = CURRENT_PRINCIPAL.set(None)
    try:
        return await fetch()
    finally:
        CURRENT_PRINCIPAL.reset(current)
