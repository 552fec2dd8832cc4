"""Opens the pool of the settings: of one host, or of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ollama_mcp.hosts.config import CLOUD_URL, named_hosts
from ollama_mcp.hosts.pool import HostPool

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings


def open_pool(settings: Settings, *, api_key: str = "", cloud_url: str = CLOUD_URL) -> HostPool:
    """The pool of the settings.

    Raises:
        InvalidArgument: A host's address is none, or its key is missing.
    """
    hosts = named_hosts(settings)
    if len(hosts) > 1:
        # A server with one host, as nearly all have, loads none of this.
        from ollama_mcp.hosts.fleet import Fleet

        return Fleet(settings, hosts, api_key=api_key, cloud_url=cloud_url)
    return HostPool(settings, api_key=api_key, cloud_url=cloud_url, host=hosts[0] if hosts else None)
