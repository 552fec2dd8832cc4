"""Writes what is generated: README's tool table, docs/settings.md, the settings' schema, config.json, manifests.

`--check` writes nothing and fails where something is stale.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from bundles.manifests import manifests
from ollama_mcp.cli.install.hosts import HOSTS
from ollama_mcp.cli.tools import tool_list_tokens
from ollama_mcp.server.app import OllamaServer
from ollama_mcp.settings import Settings
from ollama_mcp.settings.load import iter_settings, variable_name
from ollama_mcp.settings.model import TOOLSETS, ToolSettings
from tests.security.attacks import ATTACKS

_ATTACKS_HEAD = """# Attacks

What was tried against this server, and the tests that run it. Those by files and arguments run against the server as a
process, over stdio and over HTTP, with secrets in its home, a listener that must see nobody, and a simulated Ollama.
A01 to A65 come from published vulnerabilities and from how such servers were broken, B01 to B17 are our own. The page
is generated from the tables in `tests/security/`.
"""
ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Write or check every generated file."""
    check = "--check" in sys.argv[1:]
    stale = {path: text for path, text in _generated().items() if _differs(path, text)}
    for path, text in stale.items():
        if check:
            print(f"{path.relative_to(ROOT)} is stale: run `make docs`.", file=sys.stderr)  # noqa: T201
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


def _generated() -> dict[Path, str]:
    schema = Settings.model_json_schema()
    schema["properties"]["$schema"] = {"type": "string"}
    values = {"$schema": "./docs/config.schema.json", **Settings().model_dump(mode="json")}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    return {
        ROOT / "config.json": json.dumps(values, indent=2) + "\n",
        ROOT / "docs/config.schema.json": json.dumps(schema, indent=2) + "\n",
        ROOT / "docs/settings.md": _between(page, "settings", settings_table()),
        ROOT / "docs/install.md": _between(
            (ROOT / "docs/install.md").read_text(encoding="utf-8"), "hosts", host_table()
        ),
        ROOT / "README.md": _between(readme, "tools", tool_table()),
        ROOT / "docs/attacks.md": attack_page(),
        **{ROOT / path: text for path, text in manifests().items()},
    }


def tool_table() -> str:
    """README's table of all tools."""
    server = OllamaServer(Settings(tools=ToolSettings(toolsets=["all"])))
    tools = asyncio.run(server.list_tools())
    rows = ["| toolset | tool | what it is for | changes anything | tokens |", "|---|---|---|---|--:|"]
    order = {name: place for place, name in enumerate(TOOLSETS)}
    specs = {name: tool.spec for name, tool in server.bound_tools.items()}
    for tool in sorted(tools, key=lambda tool: order.get(specs[tool.name].toolset, 99)):
        spec = specs[tool.name]
        changes = "no" if spec.hints.read_only else "after confirm" if spec.hints.destructive else "yes"
        if "output" in tool.input_schema["properties"]:
            changes = "only its output"
        purpose = _first_sentence(tool.description)
        cells = (spec.toolset, f"`{tool.name}`", purpose, changes, str(tool_list_tokens(tool)))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def attack_page() -> str:
    """docs/attacks.md."""
    rows = ["| attack | what is tried, and what must come of it | tests below `tests/` |", "|---|---|---|"]
    for attack in ATTACKS:
        tests = "; ".join(f"`{one.removeprefix('tests/').replace('::test_', ': ')}`" for one in attack.tests)
        what = attack.attack + (f" (not run here: {attack.left})" if attack.left else "")
        rows.append(f"| {attack.id} | {what} | {tests} |")
    return "\n".join([_ATTACKS_HEAD, *rows, ""])


def settings_table() -> str:
    """The table of all settings."""
    defaults = Settings().model_dump(mode="json")
    rows = ["| setting | environment | default | meaning |", "|---|---|---|---|"]
    for path, info in iter_settings():
        value = defaults
        for name in path.split("."):
            value = value[name]
        meaning = (info.description or "").replace("|", "\\|")
        rows.append(f"| `{path}` | `{variable_name(path)}` | `{json.dumps(value)}` | {meaning} |")
    return "\n".join(rows)


def host_table() -> str:
    """The table of the hosts that `install` knows, of docs/install.md."""
    rows = ["| host | name | file | key |", "|---|---|---|---|"]
    for host in HOSTS:
        # A name that differs by case only is the same file where it is another.
        files = list({file.lower(): f"`{_path(file)}`" for file in reversed(host.files)}.values())
        rows.append(f"| {host.title} | `{host.key}` | {' or '.join(reversed(files))} | `{'.'.join(host.container)}` |")
    return "\n".join(rows)


def _path(pattern: str) -> str:
    for start, shown in (
        ("{home}", "~"),
        ("{xdg}", "~/.config"),
        ("{local}", "%LOCALAPPDATA%"),
        ("{APPDATA}", "%APPDATA%"),
    ):
        pattern = pattern.replace(start, shown)
    return pattern.replace("{C", "$C").replace("}/", "/") if pattern.startswith("{C") else pattern


def _first_sentence(text: str | None) -> str:
    return (text or "").split(". ")[0].split(": ")[0].rstrip(".").replace("|", "\\|")


def _between(text: str, name: str, content: str) -> str:
    start, end = f"<!-- {name}: generated -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise SystemExit(f"The page must hold {start} and {end}, each once.")
    head, _, rest = text.partition(start)
    tail = rest.partition(end)[2]
    return f"{head}{start}\n{content}\n{end}{tail}"


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text(encoding="utf-8") != text


if __name__ == "__main__":
    raise SystemExit(main())
