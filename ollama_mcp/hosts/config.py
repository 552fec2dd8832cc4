"""The hosts of the settings, resolved: addresses in full, keys from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.formats.host_url import normalize_host_url
from ollama_mcp.formats.model_names import parse_name

if TYPE_CHECKING:
    from ollama_mcp.settings import Settings
    from ollama_mcp.settings.hosts import HostSettings

LOCAL = "local"
CLOUD_URL = "https://ollama.com:443"
_GB = 1e9


@dataclass(frozen=True, slots=True)
class HostConfig:
    """How a host is reached, and what it is given.

    Attributes:
        name: What settings, arguments and messages call it.
        url: Its address in full.
        api_key: Its key, or "".
        headers: Further headers.
        ca_file: PEM file of a CA to trust, or "".
        verify: Whether its certificate is verified.
        weight: How fast it is next to the others, until that is measured.
        tags: Words that the status shows.
        largest_gb: Largest model that it runs; 0 is no limit.
        models: Patterns of the models that it runs; none is all.
        requests: Requests that it works on at once; 0 is unknown.
    """

    name: str
    url: str
    api_key: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    ca_file: str = ""
    verify: bool = True
    weight: float = 1.0
    tags: tuple[str, ...] = ()
    largest_gb: float = 0.0
    models: tuple[str, ...] = ()
    requests: int = 0

    def may_run(self, model: str, size: int) -> bool:
        """Whether the limits let the host run a model of that name and size in bytes."""
        if self.largest_gb and size > self.largest_gb * _GB:
            return False
        name = parse_name(model)
        names = (model.lower(), name.short.lower(), name.short.lower().removesuffix(":latest"))
        patterns = [pattern.lower() for pattern in self.models]
        return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def single_host(settings: Settings, api_key: str) -> HostConfig:
    """The one host of the settings `host`, `api_key`, `headers` and `ca_file`."""
    url = normalize_host_url(settings.host)
    # The key of ollama.com goes to ollama.com only; any other host gets its own key from the settings.
    key = settings.api_key or (api_key if url == CLOUD_URL else "")
    return HostConfig(LOCAL, url, key, settings.headers, settings.ca_file)


def named_hosts(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[HostConfig]:
    """The hosts of the setting `hosts`, in its order.

    Raises:
        InvalidArgument: Names the setting: an address that is none, a variable that is not set.
    """
    return [_resolved(name, host, environment) for name, host in settings.hosts.items()]


def _resolved(name: str, host: HostSettings, environment: Mapping[str, str]) -> HostConfig:
    try:
        url = normalize_host_url(host.url)
    except InvalidArgument as error:
        raise InvalidArgument(f"setting hosts.{name}.url: {error.message}", next_step=error.next_step) from None
    key = environment.get(host.key_env, "").strip() if host.key_env else ""
    if host.key_env and not key:
        raise InvalidArgument(
            f"setting hosts.{name}.key_env names the environment variable {host.key_env!r}, which is not set.",
            next_step="Set it where this server is started, or remove key_env.",
        )
    limits = host.limits
    return HostConfig(
        name,
        url,
        key,
        host.headers,
        host.ca_file,
        host.verify,
        host.weight,
        tuple(host.tags),
        limits.largest_gb,
        tuple(limits.models),
        limits.requests,
    )
