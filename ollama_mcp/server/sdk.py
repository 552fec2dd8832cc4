"""Imports the MCP SDK as fast as it can be."""

from __future__ import annotations

import gc


def import_sdk() -> None:
    """Import mcp.server with the collector off and its models' validators deferred to first use.

    The SDK defines over a thousand pydantic models; building them all takes most of a start, and a server needs a few.
    The objects made here live for ever, so they are also taken out of later collections.
    """
    import pydantic

    gc.disable()
    before = pydantic.BaseModel.model_config
    pydantic.BaseModel.model_config = {"defer_build": True}
    try:
        import mcp.server
    finally:
        pydantic.BaseModel.model_config = before
        gc.freeze()
        gc.enable()
    assert mcp.server is not None
