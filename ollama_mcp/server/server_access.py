"""What the calls of one server may read and fetch: the settings' folders, those granted since, a client's roots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ollama_mcp.errors import NotAllowed
from ollama_mcp.server.arguments import names_relative_path
from ollama_mcp.settings import Settings

if TYPE_CHECKING:
    from ollama_mcp.access import Access
    from ollama_mcp.hosts.principal import Principal
    from ollama_mcp.server.auth.personal import PersonalRules
    from ollama_mcp.server.call import Call
    from ollama_mcp.server.caller import RequestContext
    from ollama_mcp.server.elicitation import UserQuestion
    from ollama_mcp.server.folders import GrantedFolders


class ServerAccess:
    """The access of one server; each part is made when a call first needs it.

    Args:
        settings: The settings of this start.
        allowed: File with the folders allowed at the command line; the user's own by default.
        fetched: Is told of each fetch, as by `Access`.
    """

    def __init__(
        self, settings: Settings, allowed: Path | None, fetched: Callable[[str, int], None] | None = None
    ) -> None:
        self._settings, self._fetched = settings, fetched
        self._allowed = allowed
        # Only over stdio a client and this process see the same files.
        self._asked_roots = settings.transport != "stdio" or not settings.read.client_roots

    @cached_property
    def access(self) -> Access:
        """What may be read and fetched by who has no token."""
        from ollama_mcp.access import Access, ReadRules, RuntimeEnvironment

        facts = replace(RuntimeEnvironment.current(), over_http=self._settings.transport != "stdio")
        rules = ReadRules(self._settings.read, facts, self._folders)
        return Access.from_settings(self._settings, rules, self._fetched)

    @property
    def roots(self) -> tuple[str, ...]:
        """The roots of the client, as far as they were asked for."""
        return self.access.read_rules.environment.roots if "access" in self.__dict__ else ()

    def settings_of(self, principal: Principal | None) -> Settings:
        """The settings as they hold for somebody."""
        return self._settings if principal is None else self._personal.of(principal)[0]

    def access_of(self, principal: Principal | None) -> Access:
        """What somebody may read and fetch."""
        return self.access if principal is None else self._personal.of(principal)[1]

    async def prepare(self, arguments: dict[str, Any], context: RequestContext | None) -> None:
        """Ask the client for its roots, where it has any and a relative path of the arguments may start from them."""
        if self._asked_roots or context is None:
            return
        capabilities = context.session.client_capabilities
        if capabilities is not None and capabilities.roots is not None and names_relative_path(arguments):
            await self.learn_roots(context)

    async def learn_roots(self, context: RequestContext | None) -> bool:
        """Ask the client for its roots, once and only when they matter; whether there are any."""
        if self._asked_roots or context is None:
            return False
        from ollama_mcp.server.folders import client_roots

        self._asked_roots = True
        roots = await client_roots(context)
        rules = self.access.read_rules
        self.access = replace(
            self.access, read_rules=replace(rules, environment=replace(rules.environment, roots=roots))
        )
        return bool(roots)

    def permission_question(self, error: NotAllowed, call: Call) -> UserQuestion | None:
        """The question whether a refused folder may be read; None where nobody can be asked, or is to be."""
        if self._settings.transport != "stdio" or not call.consent.has_forms or call.consent.detached:
            return None
        return self._folders.permission_question(error)

    @cached_property
    def _folders(self) -> GrantedFolders:
        from ollama_mcp.access import allowed_folders_file
        from ollama_mcp.server.folders import GrantedFolders

        return GrantedFolders(self._allowed or allowed_folders_file())

    @cached_property
    def _personal(self) -> PersonalRules:
        from ollama_mcp.server.auth.personal import PersonalRules

        return PersonalRules(self._settings, self._folders, self._fetched)
