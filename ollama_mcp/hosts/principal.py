"""Who a call is made for: known to the transport, and to what reaches a host in its name."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["read", "use", "manage", "files"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

# Who may use models or manage them has to see which there are: errors and questions name them.
_IMPLY_READ = frozenset(("use", "manage"))


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with a name who may do some things.

    Args:
        name: Of the token, or the subject that the issuer vouches for.
        scopes: What may be done, as it was granted.
    """

    name: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Whether the scope was granted, by itself or as part of another."""
        return scope in self.scopes or (scope == "read" and not self.scopes.isdisjoint(_IMPLY_READ))


# None stands for the user of this process: everybody over stdio, and over HTTP without tokens. Tasks inherit it.
CURRENT_PRINCIPAL: ContextVar[Principal | None] = ContextVar("principal", default=None)
