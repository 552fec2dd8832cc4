"""What depends on the inside of the MCP SDK (mcp 2.3): a fast import, and every use of its private names.

No other file may use a private name of the SDK. `tests/server/test_sdk_names.py` holds that, and fails with the name of
one that has moved in a newer SDK.

This module imports nothing of the SDK itself, since `import_sdk` has to come first.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.server.lowlevel import Server

_TRACING_MODULE = "mcp.server._otel"
_GC_THRESHOLD = 10_000


@contextmanager
def hidden(module: str) -> Generator[None]:
    """Let a module seem not to be installed, for a library that imports it where it is and does without where not."""
    absent = object()
    before = sys.modules.get(module, absent)
    sys.modules[module] = None  # pyright: ignore[reportArgumentType]  # None is how import is told "absent"
    try:
        yield
    finally:
        if before is absent:
            del sys.modules[module]
        else:
            sys.modules[module] = before  # pyright: ignore[reportArgumentType]


def import_sdk(*, over_http: bool = True) -> None:
    """Import `mcp.server` with the garbage collector off and pydantic's validators deferred to their first use.

    Without HTTP it is imported without uvicorn and click, which sse-starlette takes along where it finds them.

    The SDK defines over a thousand pydantic models. Building all validators takes most of a start, and a server uses
    few of them. Obsolete when `python -X importtime -c "import mcp.server"` no longer shows `mcp_types` as most of it.
    """
    import pydantic

    gc.disable()
    original = pydantic.BaseModel.model_config
    # No option of the SDK reaches its models, so the default of all models is changed during this one import.
    pydantic.BaseModel.model_config = {"defer_build": True}
    try:
        with nullcontext() if over_http else hidden("uvicorn"):
            import mcp.server
    finally:
        pydantic.BaseModel.model_config = original
        # These objects live as long as the process: later collections need not visit them.
        gc.freeze()
        # A call in flight holds about 70 objects, so that ten of them would begin a collection in each call, which
        # finds nothing: 6 % of all instructions of a call.
        gc.set_threshold(_GC_THRESHOLD, 10, 10)
        gc.enable()
    assert mcp.server is not None


def lowlevel_server(server: MCPServer) -> Server[Any]:
    """The protocol server inside an `MCPServer`.

    The transports of the SDK take it, and `MCPServer` gives it to nobody. The SDK's own documentation uses the private
    name. Obsolete when `MCPServer` has a public attribute for it.
    """
    return server._lowlevel_server  # pyright: ignore[reportPrivateUsage]


def remove_tracing(server: MCPServer) -> None:
    """Remove the SDK's tracing middleware, for a server whose settings want no tracing.

    The SDK adds it to every server. It then records nothing and costs 0.04 of 0.5 ms per call.
    Obsolete when `MCPServer("x").middleware` is empty.
    """
    server.middleware[:] = [item for item in server.middleware if type(item).__module__ != _TRACING_MODULE]
