"""Which scope a tool needs, and whom a request of a session is made for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_REQUEST, CallToolResult

from ollama_mcp.errors import Busy, NotAllowed
from ollama_mcp.hosts.principal import CURRENT_PRINCIPAL, Principal, Scope
from ollama_mcp.hosts.principal_guard import ASK_FOR_SCOPE
from ollama_mcp.server.failures import failure_result
from ollama_mcp.server.transports.asgi import PRINCIPAL_KEY

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    from ollama_mcp.server.registry import ToolSpec

# What runs models, whatever it writes beside that.
_USING_TOOLSETS = frozenset(("inference", "work", "web", "legacy"))


def scope_needed(spec: ToolSpec) -> Scope:
    """The scope that a tool needs: by its toolset, else by its hints, which a user's own tools have too."""
    if spec.toolset in _USING_TOOLSETS:
        return "use"
    if not spec.hints.read_only:
        return "manage"
    return "read" if spec.hints.idempotent else "use"


def may_call(principal: Principal, spec: ToolSpec) -> bool:
    """Whether somebody may call a tool, and is shown it."""
    return principal.may(scope_needed(spec))


def check_scope(principal: Principal, spec: ToolSpec) -> None:
    """Refuse a call of a tool whose scope somebody does not have.

    Raises:
        NotAllowed: Names the scope.
    """
    if not may_call(principal, spec):
        raise NotAllowed(
            f"{spec.name} needs the scope {scope_needed(spec)!r}, which {principal.name[:80]!r} does not have.",
            next_step=ASK_FOR_SCOPE,
        )


async def within_limits(
    principal: Principal, spec: ToolSpec, run: Callable[[], Awaitable[CallToolResult]]
) -> CallToolResult:
    """Run a tool if its call is not one too many of its principal; what only reads is not counted."""
    if scope_needed(spec) == "read":
        return await run()
    try:
        with principal.account.call(principal.name, principal.limits):
            return await run()
    except Busy as error:
        return failure_result(error)


async def carry_principal(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Server middleware that makes the principal of each HTTP request known to what answers it.

    By request, not by session: a session goes on after its token got other scopes.

    Raises:
        MCPError: The request has none, which the transport lets none be without.
    """
    scope = ctx.request.scope if ctx.request is not None else None
    if scope is None or (principal := scope.get(PRINCIPAL_KEY)) is None:
        raise MCPError(code=INVALID_REQUEST, message="The request has no token")
    current = CURRENT_PRINCIPAL.set(principal)
    # The SDK binds what it seals for a client to this.
    user = auth_context_var.set(scope.get("user"))
    try:
        return await call_next(ctx)
    finally:
        auth_context_var.reset(user)
        CURRENT_PRINCIPAL.reset(current)
