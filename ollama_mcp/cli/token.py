"""`ollama-mcp-server token add | list | revoke`: the tokens of clients on HTTP."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ollama_mcp.cli.options import load_from_options
from ollama_mcp.cli.output import Output
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.hosts.principal import SCOPES
from ollama_mcp.server.auth.token_file import add_token, default_token_file, read_tokens, revoke_token


def token(options: argparse.Namespace) -> int:
    """Make, list or revoke tokens. A new one is printed alone on stdout, once."""
    configured = load_from_options(options).settings.auth.tokens
    file = Path(configured).expanduser() if configured else default_token_file()
    if options.action == "list":
        _list(file, Output(options))
        return 0
    if not options.name:
        raise InvalidArgument(f"token {options.action} needs a name.", next_step=f"token {options.action} NAME")
    if options.action == "revoke":
        revoke_token(file, options.name)
        print(f"{options.name} is revoked: a running server refuses it within a second ({file}).")
        return 0
    is_first = not os.path.lexists(file)
    secret = add_token(file, options.name, [scope.strip() for scope in options.scope.split(",") if scope.strip()])
    print(
        f"The token of {options.name}, which is shown only now and kept nowhere ({file} has its digest):",
        file=sys.stderr,
    )
    print(secret)
    if is_first:
        print("From its next start on, a server on HTTP lets nobody in without a token.", file=sys.stderr)
    return 0


def _list(file: Path, output: Output) -> None:
    tokens = read_tokens(file) if os.path.lexists(file) else []
    rows = [(one.name, [scope for scope in SCOPES if scope in one.scopes], one.created) for one in tokens]
    if output.is_json:
        output.json([{"name": name, "scopes": scopes, "created": created} for name, scopes, created in rows])
    for name, scopes, created in () if output.is_json else rows:
        print(f"{name}  {','.join(scopes)}  {created}")
