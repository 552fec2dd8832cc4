"""The command line's options: the parser of all commands, and the settings that the options amount to.

It uses argparse, since a server's start cannot wait for the import of a larger library.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
from typing import Any, NoReturn

from ollama_mcp import __version__
from ollama_mcp.cli.command_options import (
    ask_options,
    batch_options,
    compare_options,
    decide_options,
    evaluate_options,
    jobs_options,
    output_options,
    search_options,
)
from ollama_mcp.settings import LoadedSettings, SettingsError, load_settings

_EPILOG = """\
Examples:
  ollama-mcp-server                                     serve over stdio (what MCP hosts run)
  ollama-mcp-server install cursor                      add it to a host; --print for any other
  ollama-mcp-server demo                                see a client use the server
  git diff | ollama-mcp-server ask "Review this"        ask a local model from the shell
  ollama-mcp-server doctor                              find what is wrong, and what to do
  ollama-mcp-server --toolsets inference --read-only    offer less
  ollama-mcp-server call ollama_chat model=llama3.2 prompt='Hi'
  ollama-mcp-server config show                         every setting and where it came from
"""


class _Parser(argparse.ArgumentParser):
    """A parser that names what a misspelt command or choice is closest to."""

    def error(self, message: str) -> NoReturn:
        match = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if match:
            close = difflib.get_close_matches(match[1], re.findall(r"[\w-]+", match[2]), n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"`{self.prog} --help` lists what there is."
            message = f"there is no {match[1]!r}. {hint}"
        super().error(message)


class _ToolHelp(argparse.Action):
    """`--help` after the name of a tool is about the tool."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object) -> None:
        if not getattr(namespace, "tool", ""):
            parser.print_help()
            parser.exit()
        namespace.help = True


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands. `command` of its result is "serve" where none is given."""
    settings = _settings_options()
    parser = _Parser(
        prog="ollama-mcp-server",
        description="MCP server for Ollama: every operation of its API as a typed tool.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[settings, _serve_options()],
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(command="serve")
    # Not `dest="command"`: without a command argparse would set it to None, over the default.
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command_name")

    def command(name: str, summary: str, *parents: _Parser, add_help: bool = True) -> argparse.ArgumentParser:
        # Options given before the command's name must survive, so sub-parsers set nothing that was not typed.
        sub = commands.add_parser(
            name,
            help=summary,
            description=summary,
            parents=list(parents),
            argument_default=argparse.SUPPRESS,
            add_help=add_help,
        )
        sub.set_defaults(command=name)
        return sub

    command("serve", "Serve MCP clients (the default command).", settings, _serve_options())
    command("warm", "Make the next start with the options after it answer at once.")
    demo = command("demo", "Show a real client using a real server, on Ollama or the built-in simulator.", settings)
    demo.add_argument(
        "--simulator", action="store_true", default=False, help="use the simulator even if Ollama answers"
    )
    ask_options(command("ask", "Ask a local model; what is piped in is read as a file.", settings))
    batch_options(command("batch", "Run a prompt, questions or an embedding over many inputs, into a file.", settings))
    search_options(command("search", "Search files by words and meaning, and print the places.", settings))
    decide_options(command("decide", "Classify, score or check texts, files and images.", settings))
    compare_options(command("compare", "Ask several models the same.", settings))
    evaluate_options(command("evaluate", "Find the smallest model that is good enough on your examples.", settings))
    jobs_options(command("jobs", "List long work, or show, fetch, cancel or resume one.", settings))
    output_options(command("usage", "Show calls and tokens so far, by model.", settings))
    doctor = command("doctor", "Check everything between a host and a model's answer, with what to do.", settings)
    output_options(doctor)
    models = command("models", "List, show, download or delete models.", settings)
    models.add_argument("action", nargs="?", choices=["list", "show", "pull", "rm"], default="list")
    models.add_argument("model", nargs="?", default="", help="its name")
    output_options(models)
    tune = command("tune", "Measure how many requests at a time a model is worth, for work.parallel=auto.", settings)
    tune.add_argument("-m", "--model", default="", help="the model; otherwise the one that ollama_chat would use")
    output_options(tune)
    store = command("store", "Show what the server has kept, or delete it; see to a PostgreSQL database.", settings)
    store.add_argument("action", choices=["show", "purge", "upgrade", "copy"])
    store.add_argument("--from", dest="source", default="", metavar="FILE", help="for copy: the file")
    store.add_argument("--into", dest="target", default="", metavar="URL", help="for copy: the database")
    output_options(store)
    config = command("config", "Show, describe, check or change the settings.", settings)
    config.add_argument("action", choices=["show", "schema", "check", "path", "get", "set"])
    config.add_argument("setting", nargs="?", default="", metavar="NAME", help="for get and set: such as limits.listed")
    config.add_argument("value", nargs="?", default=None, help="for set: JSON, a text, or words with commas")
    output_options(config)
    tools = command("tools", "List the offered tools.", settings)
    tools.add_argument(
        "--tokens", action="store_true", default=False, help="with the tokens that each costs in a tool list"
    )
    output_options(tools)
    call = command("call", "Call one tool from the shell.", settings, add_help=False)
    call.add_argument("-h", "--help", nargs=0, action=_ToolHelp, default=False, help="show this, or a tool's arguments")
    output_options(call)
    call.add_argument("tool", help="name of the tool")
    call.add_argument(
        "arguments",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="arguments, values may be JSON; or one JSON object",
    )
    allow = command("allow", "Allow reading from a folder; running servers apply it at once.", settings)
    allow.add_argument("folder")
    token = command("token", "Make, list or revoke the tokens of clients on HTTP.", settings)
    token.add_argument("action", choices=["add", "list", "revoke"])
    token.add_argument("name", nargs="?", default="", help="whose token it is")
    token.add_argument(
        "--scope", metavar="A,B", default="read,use", help="of read, use, manage, files, metrics (read,use)"
    )
    output_options(token)
    install = command("install", "Add this server, with the options given here, to MCP hosts.", settings)
    _install_options(install)
    install.add_argument("--print", action="store_true", default=False, help="what to add by hand; change nothing")
    _install_options(
        command("update", "Let hosts start the server as it is installed now (all that have it).", settings)
    )
    _install_options(command("uninstall", "Remove this server from MCP hosts."))
    completion = command("completion", "Print the script by which a shell completes these commands.", settings)
    completion.add_argument("shell", choices=["bash", "zsh", "fish", "models"], help="models: the names to complete")
    command("version", "Print the version (--version).")
    topic = command("help", "Show this, or the help of a command: help COMMAND.")
    topic.add_argument("topic", nargs="?", metavar="COMMAND", help="the command")
    ledger = command("ledger", "Print the rows that the ledger has of calls, as JSON lines.", settings)
    ledger.add_argument("action", choices=["export"])
    ledger.add_argument("--since", metavar="DATE", default="", help="from this date or time on")
    command("simulate", "Run a simulated Ollama that needs no model (simulate --help).")
    return parser


def _install_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("hosts", nargs="*", default=[], metavar="HOST", help="such as claude-desktop, cursor, vscode")
    command.add_argument("--all", action="store_true", default=False, help="all hosts that are found")
    command.add_argument("--dry-run", action="store_true", default=False, help="show what would change")
    command.add_argument("--name", default="ollama", help="name of the server there (ollama)")
    command.add_argument("--file", default="", help="the host's configuration file, where it is not the usual one")


def _settings_options() -> _Parser:
    # Without help: a parent's -h would clash with that of the parser it is added to.
    options = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = options.add_argument_group("settings")
    group.add_argument("--config", metavar="FILE", help="config file to use")
    group.add_argument("--ollama", metavar="HOST", help="address of Ollama, as in OLLAMA_HOST")
    group.add_argument("--toolsets", metavar="A,B", help="toolsets to offer")
    group.add_argument("--tools", metavar="A,B", help="further single tools to offer")
    group.add_argument("--exclude-tools", metavar="A,B", help="tools to leave out")
    group.add_argument("--folders", metavar="FOLDER", nargs="*", help="folders whose text files may be read")
    group.add_argument("--read-only", action="store_true", help="offer only what changes nothing")
    group.add_argument("--set", metavar="NAME=VALUE", action="append", help="any setting, such as limits.listed=50")
    return options


def _serve_options() -> _Parser:
    options = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = options.add_argument_group("transport")
    group.add_argument("--transport", choices=["stdio", "http", "sse"], help="how clients connect (stdio)")
    group.add_argument("--bind", metavar="ADDRESS", help="address to listen on (127.0.0.1); others need a token")
    group.add_argument("--port", type=int, help="port to listen on")
    group.add_argument("--socket", metavar="PATH", help="Unix socket to listen on instead")
    group.add_argument("--token", choices=["auto"], help="make a token that clients have to send, kept in a file")
    group.add_argument("--insecure-no-auth", action="store_true", help="any address without tokens (a risk)")
    group.add_argument("--tls-certificate", metavar="FILE", help="PEM file with the certificate, to serve https")
    group.add_argument("--tls-key", metavar="FILE", help="PEM file with its key")
    group.add_argument("--no-cache", dest="cache", action="store_false", help="start without kept answers (stdio)")
    group.add_argument("--stateless", action="store_true", help="no sessions over http, for replicas")
    return options


# The setting that each option sets.
_SETTING_OF_OPTION = {
    "ollama": "host",
    "toolsets": "tools.toolsets",
    "tools": "tools.include",
    "exclude_tools": "tools.exclude",
    "folders": "read.text_folders",
    "read_only": "read_only",
    "transport": "transport",
    "bind": "http.host",
    "port": "http.port",
    "socket": "http.socket",
    "tls_certificate": "http.tls_certificate",
    "tls_key": "http.tls_key",
    "token": "auth.token",
    "insecure_no_auth": "http.insecure_no_auth",
    "stateless": "http.stateless",
    "cache": "cache",
}
_LIST_OPTIONS = frozenset(("toolsets", "tools", "exclude_tools"))


def load_from_options(options: argparse.Namespace) -> LoadedSettings:
    """Load the settings, with the options of the command line as their highest layer.

    Raises:
        SettingsError: Names the first wrong setting.
    """
    values: dict[str, Any] = {}
    for option, path in _SETTING_OF_OPTION.items():
        value = getattr(options, option, None)
        if value is not None:
            _put(values, path, _split(value) if option in _LIST_OPTIONS else value)
    if "folders" in options:
        # What a host passes for folders that its user left out.
        values["read"]["text_folders"] = [one for one in options.folders if one.strip() and not one.startswith("${")]
    for pair in getattr(options, "set", None) or ():
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set takes NAME=VALUE, not {pair!r}.")
        _put(values, name.strip(), json_or_text(text))
    return load_settings(values, config=getattr(options, "config", None))


def check_stdio_options(loaded: LoadedSettings) -> None:
    """Refuse options that say where to listen, if the transport is stdio, which listens nowhere.

    Raises:
        SettingsError: Names the first such option.
    """
    for option, path in _SETTING_OF_OPTION.items():
        if path.startswith(("http.", "auth.")) and loaded.origins.get(path) == "command line":
            raise SettingsError(
                f"--{option.replace('_', '-')} has no effect: the transport is stdio, which listens nowhere.",
                next_step="Add --transport http, or leave it out.",
            )


def to_arguments(options: argparse.Namespace) -> list[str]:
    """The options that shape a server, as arguments for another process."""
    arguments: list[str] = []
    for name in ("config", "toolsets", "tools", "exclude_tools"):
        if hasattr(options, name):
            arguments += [f"--{name.replace('_', '-')}", getattr(options, name)]
    for pair in getattr(options, "set", None) or ():
        arguments += ["--set", pair]
    if "folders" in options:
        arguments += ["--folders", *options.folders]
    return [*arguments, "--read-only"] if getattr(options, "read_only", False) else arguments


def cloud_key() -> str:
    """The user's key for https://ollama.com, from the variable that Ollama's own clients read, or ""."""
    key = os.environ.get("OLLAMA_API_KEY", "").strip()
    # A host leaves the placeholder of an optional field that the user left blank.
    return "" if key.startswith("${") else key


def json_or_text(text: str) -> Any:
    """The value of `text` where it is valid JSON, else `text` itself."""
    try:
        return json.loads(text)  # so that 50 is a number and [] a list
    except ValueError:
        return text


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    *sections, name = path.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[name] = value
