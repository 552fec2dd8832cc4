"""Which names of the MCP SDK the project uses: a name that a newer SDK has moved fails here by itself.

And the tests that docstrings name for seeing whether a fault of the SDK has gone: they exist.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from mcp.server import MCPServer
from mcp.server.lowlevel import Server

from ollama_mcp.server.app import OllamaServer
from ollama_mcp.server.sdk import lowlevel_server
from ollama_mcp.settings import Settings
from ollama_mcp.settings.model import StoreSettings
from tests.architecture.tree import ROOT, files, imports, parsed, shown

SDK_FILE = ROOT / "ollama_mcp/server/sdk.py"
OURS = files("ollama_mcp", "tools", "bench", pattern="*.py")
ON_WINDOWS_ALONE = {("mcp.os.win32.utilities", "rebind_std_handle_to_fd")}
# Private by their underscore, public by the documentation of namedtuple.
OF_NAMEDTUPLE = {"_replace", "_asdict", "_fields", "_make"}
PRIVATE_OF_SERVER = {name for name in (*dir(MCPServer), *vars(MCPServer("x"))) if re.match("_[a-z]", name)}


def is_of_sdk(module: str) -> bool:
    return module.split(".")[0] in ("mcp", "mcp_types")


def private_names(file: Path, root: Path = ROOT) -> Iterator[str]:
    """The private names of the SDK that a file imports, takes from an object, or names in a string."""
    of_sdk = [found for found in imports(file, root) if is_of_sdk(found.module)]
    for found in of_sdk:
        if re.search(r"\._[a-z]", f"{found.module}.{found.name}"):
            yield f"{found.module}.{found.name}"
    if not of_sdk and not re.search(r"[\"']mcp", file.read_text(encoding="utf-8")):
        return
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr) and node.attr not in OF_NAMEDTUPLE:
            is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            # A subclass of MCPServer reaches its private names by `self`, and may also overwrite one by accident.
            if of_sdk and (not is_own or node.attr in PRIVATE_OF_SERVER):
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^mcp[\w.]*\._\w+$", node.value)


def test_only_one_file_uses_private_names_of_the_sdk() -> None:
    found = {shown(file): sorted(private_names(file)) for file in OURS}
    assert {file: names for file, names in found.items() if names} == {
        shown(SDK_FILE): ["_lowlevel_server", "mcp.server._otel"]
    }


def test_private_uses_are_found(tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(
        "from mcp.shared._otel import otel_span\n"
        "from mcp.server.runner import _dump_result\n"
        "class Odd:\n    def odd(self):\n        return self._tool_manager, self._own, other._tools, place._replace()\n"
    )
    names = [*private_names(file, tmp_path)]
    assert names == ["mcp.shared._otel.otel_span", "mcp.server.runner._dump_result", "_tool_manager", "_tools"]


def test_the_private_name_lowlevel_server_is_still_there() -> None:
    assert isinstance(getattr(MCPServer("x"), "_lowlevel_server", None), Server), "MCPServer._lowlevel_server has moved"
    assert lowlevel_server(MCPServer("x")).name == "x"


def test_the_private_name_otel_is_still_that_of_the_tracing_middleware() -> None:
    modules = {type(item).__module__ for item in MCPServer("x").middleware}
    assert "mcp.server._otel" in modules, f"mcp.server._otel has moved; the middleware is of {modules}"


def test_every_name_that_is_imported_from_the_sdk_is_still_there() -> None:
    # Looked for here and not at the collection of the tests, which each process does.
    used = {(found.module, found.name) for file in OURS for found in imports(file) if is_of_sdk(found.module)}
    assert len(used) > 40
    moved = [f"{module}.{name} has moved" for module, name in sorted(used - ON_WINDOWS_ALONE) if not _is(module, name)]
    assert not moved


def _is(module: str, name: str) -> bool:
    found = import_module(module)
    return not name or hasattr(found, name) or bool(import_module(f"{module}.{name}"))


def test_the_sdk_does_not_trace_where_the_settings_want_no_tracing() -> None:
    plain = OllamaServer(Settings(store=StoreSettings(path=":memory:")))
    assert len(plain.middleware) == len(MCPServer("x").middleware) - 1


def test_the_tests_that_show_whether_a_fault_of_the_sdk_has_gone_exist() -> None:
    known = {file.name for file in files("tests", pattern="test_*.py")}
    known |= {
        node.name
        for file in files("tests/transports", pattern="test_*.py")
        for node in parsed(file).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    named = {
        (shown(file), name)
        for file in files("ollama_mcp/server/transports", pattern="*.py")
        for name in re.findall(r"\btest_\w+(?:\.py)?", file.read_text(encoding="utf-8"))
    }
    assert len(named) >= 15
    assert {(file, name) for file, name in named if name not in known} == set()
