"""What a client is told that has no token: the WWW-Authenticate header, and where an issuer gives one (RFC 9728)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ollama_mcp.hosts.principal import SCOPES
from ollama_mcp.server.transports.asgi import Scope, headers

if TYPE_CHECKING:
    from ollama_mcp.server.auth.authenticator import Authenticator

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


def challenge(
    auth: Authenticator, scope: Scope, endpoint: str, code: str, needed: str = "read use"
) -> tuple[tuple[bytes, bytes], ...]:
    """The WWW-Authenticate header of a response, with an error code of RFC 6750 or "", and the scopes it takes.

    Own tokens come from a person, so only with an issuer it says where one can be had.
    """
    error = f', error="{code}"' if code else ""
    where = ""
    if auth.issuer:
        parts = urlsplit(_resource(auth, scope, endpoint))
        where = f', resource_metadata="{parts.scheme}://{parts.netloc}{_WELL_KNOWN}{parts.path.rstrip("/")}"'
    text = f'Bearer realm="ollama-mcp-server"{error}, scope="{needed}"{where}'
    return ((b"www-authenticate", text.encode()),)


def resource_metadata_paths(auth: Authenticator, endpoint: str) -> tuple[str, ...]:
    """The paths of the metadata; none without an issuer."""
    if not auth.issuer:
        return ()
    path = urlsplit(auth.audience).path if _is_url(auth.audience) else endpoint
    return _WELL_KNOWN, _WELL_KNOWN + endpoint, _WELL_KNOWN + path.rstrip("/")


def resource_metadata(auth: Authenticator, scope: Scope, endpoint: str) -> str:
    """The metadata, as JSON."""
    return json.dumps(
        {
            "resource": _resource(auth, scope, endpoint),
            "authorization_servers": [auth.issuer],
            "scopes_supported": list(SCOPES),
            "bearer_methods_supported": ["header"],
            "resource_name": "ollama-mcp-server",
        }
    )


def _resource(auth: Authenticator, scope: Scope, endpoint: str) -> str:
    """The address of this server as clients use it: the audience, or by the Host header, which has been checked."""
    if _is_url(auth.audience):
        return auth.audience
    return f"{scope.get('scheme', 'http')}://{headers(scope, b'host')[0]}{endpoint}"


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))
