"""What several replicas have in common by one secret: any of them goes on with a confirmation that another began."""

from __future__ import annotations

import logging
from typing import Any

from mcp.server.request_state import RequestStateSecurity

from ollama_mcp.errors import DiskError, InvalidArgument
from ollama_mcp.server.confirmation_codes import ConfirmationCodes, is_code
from ollama_mcp.server.elicitation import VALID_SECONDS
from ollama_mcp.settings import Settings
from ollama_mcp.settings.secrets import read_secret
from ollama_mcp.store.database import require_postgres

log = logging.getLogger(__name__)

_CONFIRM = "confirm"


class Replicas:
    """This process as one of several.

    Args:
        secret: The secret of all of them.

    Attributes:
        codes: The codes of what agents were asked to confirm.
        security: What seals the request states of open questions.
    """

    def __init__(self, secret: bytes) -> None:
        self.codes = ConfirmationCodes(secret)
        self.security = RequestStateSecurity(keys=[secret], ttl=VALID_SECONDS)

    def split_code(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The arguments with `confirm` as the tools take it, and the code that stood there, or ""."""
        code = arguments.get(_CONFIRM)
        return ({**arguments, _CONFIRM: True}, code) if isinstance(code, str) and is_code(code) else (arguments, "")


def open_replicas(settings: Settings, database: str) -> Replicas | None:
    """What this process shares with others; None where it has no secret, or no others: over stdio.

    Args:
        settings: The settings of this start.
        database: The address of the database of all replicas, which has a secret where the settings name none; or "".

    Raises:
        InvalidArgument: The secret is not where the settings say.
    """
    secret = read_secret("state.secret", settings.state.secret)
    if settings.transport == "stdio":
        return None
    if secret is None and database:
        secret = _kept_secret(database)
    return None if secret is None else Replicas(secret)


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
