"""`ollama-mcp-server config show | schema | check`, and `allow FOLDER`, which adds to the configuration."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable

from ollama_mcp._paths import user_config_file
from ollama_mcp.access import allow_folder, allowed_folders_file
from ollama_mcp.cli.options import cloud_key, load_from_options
from ollama_mcp.cli.output import Output
from ollama_mcp.cli.shown_settings import shown_values
from ollama_mcp.errors import InvalidArgument
from ollama_mcp.settings import LoadedSettings, Settings, SettingsError


def config(options: argparse.Namespace) -> int:
    """Print the settings or their JSON Schema, or check them."""
    if options.action == "schema":
        print(json.dumps(Settings.model_json_schema(), indent=2))
        return 0
    if options.setting and options.action not in ("get", "set"):
        raise InvalidArgument(f"config {options.action} takes no name.", next_step=f"config {options.action}")
    if options.action in ("path", "get", "set"):
        from ollama_mcp.cli import config_file

        return {"path": config_file.path, "get": config_file.get, "set": config_file.set_value}[options.action](options)
    loaded = load_from_options(options)
    if options.action == "show":
        _show(loaded, Output(options))
    else:
        _check(loaded)
    return 0


def allow(options: argparse.Namespace) -> int:
    """Add a folder to the config file in use, or to the user's own list. Running servers apply it at once."""
    file = load_from_options(options).config_file or allowed_folders_file()
    folder = allow_folder(options.folder, file=file)
    print(f"{folder} may now be read, with everything below it that is not hidden ({file}).")
    return 0


def _show(loaded: LoadedSettings, output: Output) -> None:
    origins, values = loaded.origins, dict(shown_values(loaded.settings))
    if output.is_json:
        rows = [{"name": name, "value": value, "from": origins.get(name, "default")} for name, value in values.items()]
        output.json({"file": loaded.config_file and str(loaded.config_file), "settings": rows})
        return
    print(f"# config file: {loaded.config_file or f'none; {user_config_file()} would be read'}")
    for name, value in values.items():
        print(f"{name} = {json.dumps(value, ensure_ascii=False)}  # {origins.get(name, 'default')}")
    print(f"OLLAMA_API_KEY is {'set' if cloud_key() else 'not set'}.")


def _check(loaded: LoadedSettings) -> None:
    """Report everything that a start or the first call would refuse or skip, without starting."""
    from ollama_mcp.formats.host_url import normalize_host_url
    from ollama_mcp.server.arguments import check_defaults
    from ollama_mcp.server.guidance.prompts import load_prompts
    from ollama_mcp.server.registry import load_tools
    from ollama_mcp.server.toolsets import select_tools

    settings = loaded.settings
    check_defaults(settings)
    _check_host(settings)
    if settings.transport != "stdio":
        _check_http(settings)
    tools = select_tools(load_tools(settings.tools.folders), settings, cloud_key=bool(cloud_key()))
    prompts, problems = load_prompts(settings.prompts.folders)
    offered = [name for name, prompt in prompts.items() if prompt.is_available(tools)]
    urls = [normalize_host_url(host.url) for host in settings.hosts.values()] or [normalize_host_url(settings.host)]
    print(f"The settings are valid. Ollama: {', '.join(urls)}; {len(tools)} tools: {', '.join(tools)}.")
    print(f"{len(offered)} prompts: {', '.join(offered)}.")
    for problem in problems:
        print(f"Note: {problem}")


def _check_host(settings: Settings) -> None:
    """Check what every request to the host needs: headers, API key, CA file.

    Raises:
        SettingsError: Names the setting that no request could be sent with.
    """
    from ollama_mcp.api.host_config import build_headers, create_tls_context
    from ollama_mcp.hosts.config import named_hosts
    from ollama_mcp.settings.secrets import read_secret

    _check_setting("headers", lambda: build_headers(settings.headers, None))
    for host in named_hosts(settings):
        setting = f"hosts.{host.name}"
        _check_setting(setting, lambda host=host: build_headers(host.headers, host.api_key))
        if host.ca_file:
            _check_setting(
                f"{setting}.ca_file",
                lambda host=host: asyncio.run(create_tls_context(verify=True, ca_file=host.ca_file)),
            )
    _check_setting("state.secret", lambda: read_secret("state.secret", settings.state.secret))
    _check_setting("api_key", lambda: build_headers({}, settings.api_key))
    if settings.ca_file:
        _check_setting("ca_file", lambda: asyncio.run(create_tls_context(verify=True, ca_file=settings.ca_file)))


def _check_http(settings: Settings) -> None:
    """Check what a start over HTTP needs: the tokens or the issuer, the address, the certificate.

    Raises:
        OllamaMCPError: As the start.
    """
    from ollama_mcp.server.auth.opening import open_authenticator
    from ollama_mcp.server.transports.binding import check_open
    from ollama_mcp.server.transports.origin import is_loopback
    from ollama_mcp.server.transports.tls import Certificate

    http = settings.http
    # Without the token that a start would make.
    kept = settings.model_copy(update={"auth": settings.auth.model_copy(update={"token": ""})})
    auth = open_authenticator(kept)
    if auth is None and not settings.auth.token and not http.socket and not is_loopback(http.host):
        check_open(http.host, http)
    if http.tls_certificate:
        Certificate(http)


def _check_setting(setting: str, check: Callable[[], object]) -> None:
    try:
        check()
    except InvalidArgument as error:
        raise SettingsError(f"setting {setting}: {error.message}", next_step=error.next_step) from None
