"""Writes what is generated: pages and parts of pages, the settings' schema, config.json, manifests.

`--check` writes nothing and fails where something is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bundles.links import cursor_link, lm_studio_link, vscode_link
from bundles.manifests import manifests
from docs.making.attacks_page import attacks_page
from docs.making.errors_page import errors_page
from docs.making.site_index import list_of_pages, llms_txt, with_address
from docs.making.tools_page import tool_links, tools_page
from ollama_mcp._project import OWNER, has_placeholder
from ollama_mcp.cli.install.hosts import HOSTS
from ollama_mcp.settings import Settings
from ollama_mcp.settings.load import iter_settings, variable_name

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
    pages = {path: with_address(path.read_text(encoding="utf-8")) for path in (ROOT / "docs").glob("*.md")}
    for path, name, content in (
        (ROOT / "docs/settings.md", "settings", settings_tables()),
        (ROOT / "docs/install.md", "hosts", host_table()),
        (ROOT / "docs/install.md", "buttons", buttons()),
    ):
        pages[path] = _between(pages[path], name, content)
    pages |= {
        ROOT / "docs/tools.md": tools_page(),
        ROOT / "docs/errors.md": errors_page(),
        ROOT / "docs/attacks.md": attacks_page(),
    }
    readme = with_address((ROOT / "README.md").read_text(encoding="utf-8"))
    for name, content in (("buttons", buttons()), ("tools", tool_links()), ("docs", list_of_pages())):
        readme = _between(readme, name, content)
    site = with_address((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return {
        ROOT / "mkdocs.yml": site,
        ROOT / "config.json": json.dumps(values, indent=2) + "\n",
        ROOT / "docs/config.schema.json": json.dumps(schema, indent=2) + "\n",
        **pages,
        ROOT / "docs/llms.txt": llms_txt({path.name: text for path, text in pages.items()}),
        ROOT / "README.md": readme,
        **{ROOT / path: text for path, text in manifests().items()},
    }


def buttons() -> str:
    """The links that install with a click, and what has to be said of them before the first release."""
    links = (("VS Code", vscode_link()), ("Cursor", cursor_link()), ("LM Studio", lm_studio_link()))
    line = "Or with a click, without a checkout: " + ", ".join(f"[{name}]({link})" for name, link in links) + "."
    if has_placeholder():
        line += f" (Not yet: `{OWNER}` in these links stands for the account of the repository.)"
    return line


def settings_tables() -> str:
    """A table of each section of the settings; those without a section come first."""
    sections: dict[str, list[str]] = {}
    defaults = Settings().model_dump(mode="json")
    for path, info in iter_settings():
        value = defaults
        for name in path.split("."):
            value = value[name]
        meaning = (info.description or "").replace("|", "\\|")
        row = f"| `{path}` | `{variable_name(path)}` | `{json.dumps(value)}` | {meaning} |"
        sections.setdefault(path.rpartition(".")[0], []).append(row)
    head = "| setting | environment | default | meaning |\n|---|---|---|---|\n"
    return "\n\n".join(
        f"## {name or 'Without a section'}\n\n{head}" + "\n".join(rows) for name, rows in sections.items()
    )


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
