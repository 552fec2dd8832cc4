"""The plain page that a person sees who opens the server in a browser."""

from __future__ import annotations

from ollama_mcp.server.transports.asgi import Scope, headers

_PAGE = """\
ollama-mcp-server: gives AI agents access to the models of an Ollama.

This is an MCP endpoint ({kind}) for programs; there is nothing to see in a browser.
Connect an MCP client to {url}

In Claude Code:  claude mcp add --transport {option}{option_header} ollama {url}
In most others:  {{"mcpServers": {{"ollama": {{"type": "{option}", "url": "{url}"{json_header}}}}}}}
"""
_TOKEN = """
In place of TOKEN stands a token, which you get from whoever runs this server.
"""
_OPTION_HEADER = ' --header "Authorization: Bearer TOKEN"'
_JSON_HEADER = ', "headers": {"Authorization": "Bearer TOKEN"}'


def page(scope: Scope, endpoint: str, *, needs_token: bool) -> str:
    """The page, with addresses by the Host header of the request, which the guard has checked.

    Args:
        scope: The request.
        endpoint: Path of the MCP endpoint.
        needs_token: Whether clients need a token.
    """
    url = f"{scope.get('scheme', 'http')}://{headers(scope, b'host')[0]}{endpoint}"
    kind, option = ("SSE", "sse") if endpoint == "/sse" else ("streamable HTTP", "http")
    text = _PAGE.format(
        url=url,
        kind=kind,
        option=option,
        option_header=_OPTION_HEADER if needs_token else "",
        json_header=_JSON_HEADER if needs_token else "",
    )
    return text + _TOKEN if needs_token else text


def is_asked(scope: Scope, endpoint: str) -> bool:
    """Whether a request is for the page: at /, or by a browser at the endpoint, where clients ask for other content."""
    path = scope["path"]
    return scope["method"] in ("GET", "HEAD") and (path == "/" or (path.rstrip("/") == endpoint and _is_browser(scope)))


def _is_browser(scope: Scope) -> bool:
    accepted = ",".join(headers(scope, b"accept"))
    return "text/html" in accepted and "text/event-stream" not in accepted
