"""What several replicas have in common by one secret: any of them goes on with a confirmation that another began."""

from __future__ import annotations

import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

from mcp.server.request_state import RequestStateSecurity

from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.server.confirmation_codes import ConfirmationCodes, is_code
from ollama_mcp.server.elicitation import VALID_SECONDS
from ollama_mcp.settings import Settings
from ollama_mcp.settings.secrets import read_secret
from ollama_mcp.store.database import require_postgres

if TYPE_CHECKING:
    from ollama_mcp.store import Store
    from ollama_mcp.store.database import Database

log = logging.getLogger(__name__)

_CONFIRM = "confirm"


class Replicas:
    """This process as one of several.

    Args:
        secret: The secret of all of them.
        database: The database that they share, so that what a user said yes to counts at one of them only; None where
            there is none.

    Attributes:
        codes: The codes of what agents were asked to confirm.
        security: What seals the request states of open questions.
    """

    def __init__(self, secret: bytes, database: Database | None = None) -> None:
        self.codes = ConfirmationCodes(secret)
        self.security = RequestStateSecurity(keys=[secret], ttl=VALID_SECONDS)

        self._database = database
        self._process = secrets.token_hex(8)

    async def split_code(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The arguments with `confirm` as the tools take it, and the code that stood there, or "".

        Raises:
            DiskError: The shared database cannot be asked whether it was used elsewhere.
        """
        code = arguments.get(_CONFIRM)
        if not isinstance(code, str) or not is_code(code):
            return arguments, ""
        # What is none of ours is not worth a row.
        is_ours = self.codes.is_genuine(code) and await self.is_first(code)
        return {**arguments, _CONFIRM: True}, code if is_ours else ""

    async def is_first(self, what: str) -> bool:
        """Whether what a client brought back may count here: no other replica was asked to let it count.

        Raises:
            DiskError: The shared database cannot be asked.
        """
        if self._database is None:
            return True
        from ollama_mcp.store.used_once import take_for

        return await self._database.run(partial(take_for, process=self._process, what=what, seconds=2 * VALID_SECONDS))


def open_replicas(settings: Settings, store: Store) -> Replicas | None:
    """What this process shares with others; None where it has no secret, or no others: over stdio.

    Args:
        settings: The settings of this start.
        store: Its database, where it has one, is that of all replicas, and has a secret where the settings name none.

    Raises:
        InvalidArgument: The secret is not where the settings say.
    """
    secret = read_secret("state.secret", settings.state.secret)
    if settings.transport == "stdio":
        return None
    if secret is None and store.url:
        secret = _kept_secret(store.url)
    return None if secret is None else Replicas(secret, store.database if store.url else None)


def _kept_secret(database: str) -> bytes | None:
    """The secret that is kept in the database; None where it cannot be used."""
    try:
        require_postgres()
        from ollama_mcp.store.postgres_state import shared_secret

        return shared_secret(database)
    except (DiskError, InvalidArgument) as error:
        log.warning("%s What is confirmed here is unknown to other servers until the next start.", error)
        return None


def with_code(schema: dict[str, Any]) -> dict[str, Any]:
    """A tool's input schema in which `confirm` may also be a code."""
    properties = schema["properties"]
    if _CONFIRM not in properties:
        return schema
    confirm = {name: value for name, value in properties[_CONFIRM].items() if name != "type"}
    kinds = {"anyOf": [{"type": "boolean"}, {"type": "string"}]}
    return {**schema, "properties": {**properties, _CONFIRM: {**confirm, **kinds}}}
