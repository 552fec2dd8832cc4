"""`install`, `update` and `uninstall` in a home of its own: what they write, and what they leave alone."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ollama_mcp.cli.install.change import Target, Wanted, is_there, locate
from ollama_mcp.cli.install.editing import Place
from ollama_mcp.cli.install.files import BACKUP_SUFFIX, ConfigFile
from ollama_mcp.cli.install.hosts import HOSTS, HostApp
from ollama_mcp.cli.install.launch import options_of
from ollama_mcp.cli.install.machine import Machine
from ollama_mcp.errors import DiskError, InvalidArgument

PROGRAM = ["/opt/a folder/ollama-mcp-server"]
ODD = ["--folders", '/home/me/it\'s "mine"', "C:\\Users\\me"]
OURS = Wanted(PROGRAM, ODD, "http://gpu:11434", "ollama")
KEEP = Wanted(["/new/ollama-mcp-server"], [], "", "ollama")
BY_KEY = {host.key: host for host in HOSTS}

# A file of each format as people write them, with another server and comments; it ends without our server.
WRITTEN = {
    "json": """{
    // mine
    "theme": "dark", /* really */
    "CONTAINER": {
        "other": {"command": "other", "args": ["-y"]}, // keep
    },
    "last": [1, 2,],
}
""",
    "toml": """# mine
model = "x"  # really

[mcp_servers.other]
command = "other"

[mcp_servers.other.env]
KEY = "secret"

[tui]
theme = "dark"
""",
    "yaml": """# mine
name: "Mine"  # really
CONTAINER:
ENTRY
last: [1, 2]
""",
}
NAMED = {True: "  - name: other\n    command: other  # keep", False: "  other:\n    cmd: other  # keep"}


def written(host: HostApp) -> str:
    text = WRITTEN[host.format].replace("CONTAINER", host.container[-1])
    return text.replace("ENTRY", NAMED[host.is_list])


def machine(home: Path, system: str = "linux", **variables: str) -> Machine:
    name = "USERPROFILE" if system == "win32" else "HOME"
    return Machine(system, {name: str(home), **variables})


def put(home: Path, host: HostApp, text: str | None) -> Target:
    """The host as if it were installed in this home, with this configuration."""
    (path,) = machine(home).find(next(one for one in host.files if one.startswith(("{home}", "{xdg}", "{config}"))))
    # One that keeps its file in home itself is known by a folder of its own.
    folder = home / ".claude" if path.parent == home else path.parent
    folder.mkdir(parents=True)
    if text is not None:
        path.write_bytes(text.encode())
    return locate(host, machine(home))


def read(target: Target) -> Any:
    """The entry as the host reads it."""
    found = read_text(target.host.format, target.path.read_text(encoding="utf-8"))
    for key in target.host.container:
        found = found[key]
    return next(one for one in found if one["name"] == "ollama") if target.host.is_list else found["ollama"]


def read_text(form: str, text: str) -> Any:
    """The value of a text, by another parser than ours where there is one."""
    match form:
        case "json":
            return json.loads(text)
        case "toml":
            return tomllib.loads(text)
        case _:
            reader: Any = YAML(typ="safe")
            return reader.load(text)


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.key)
def test_a_new_file_holds_an_entry_that_the_host_can_start(host: HostApp, tmp_path: Path) -> None:
    target = put(tmp_path, host, None)
    assert target.install(OURS).verb == "added"
    entry = read(target)
    assert host.words(entry) == [*PROGRAM, *ODD]
    assert host.variables(entry) == {"OLLAMA_HOST": "http://gpu:11434"}
    assert target.install(OURS).verb == "unchanged"
    assert not list(tmp_path.rglob(f"*{BACKUP_SUFFIX}"))


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.key)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_what_a_person_has_written_stays_and_comes_back_byte_for_byte(
    host: HostApp, newline: str, tmp_path: Path
) -> None:
    before = written(host).replace("\n", newline)
    target = put(tmp_path, host, before)
    done = target.install(OURS)
    after = target.path.read_bytes().decode()
    assert done.verb == "added" and done.backup is not None and done.backup.read_bytes() == before.encode()
    words = "theme", "mine", "really", "other", "dark"
    assert all(after.count(word) >= before.count(word) for word in words)
    assert newline == "\n" or after.count("\r\n") == after.count("\n")
    assert target.uninstall("ollama").verb == "removed"
    assert target.path.read_bytes().decode() == before
    assert target.uninstall("ollama").verb == "absent"


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.key)
def test_an_update_changes_the_program_and_keeps_options_and_what_its_user_added(host: HostApp, tmp_path: Path) -> None:
    target = put(tmp_path, host, None)
    target.install(OURS)
    place = host.place("ollama")
    target.path.write_text(place.set(target.path.read_text(), {"mine": True, **read(target)}))
    assert target.install(KEEP).verb == "changed"
    entry = read(target)
    assert host.words(entry) == [*KEEP.program, *ODD]
    assert host.variables(entry) == {"OLLAMA_HOST": "http://gpu:11434"} and entry["mine"] is True
    assert target.install(KEEP).verb == "unchanged"


@pytest.mark.parametrize(
    ("start", "found"),
    [
        ("uvx ollama-mcp-server", []),
        ("/bin/uvx --from /a/ollama-mcp-server ollama-mcp-server --read-only", ["--read-only"]),
        ("uv run --no-dev --project /a/ollama-mcp-server ollama-mcp-server --folders x", ["--folders", "x"]),
        ("pipx run --spec /a ollama-mcp-server", []),
        ("python3.11 -m ollama_mcp --read-only", ["--read-only"]),
        ("/a/.venv/bin/python /a/ollama_mcp_server.py --read-only", ["--read-only"]),
        ("C:\\\\a\\\\Ollama-MCP-Server.exe --read-only", ["--read-only"]),
        ("npx -y ollama-mcp-server", None),
        ("docker run ollama-mcp-server", None),
        ("uvx other", None),
        ("", None),
    ],
)
def test_an_entry_is_ours_where_it_starts_this_server(start: str, found: list[str] | None) -> None:
    assert options_of(start.split()) == found


def test_packages_that_its_user_added_to_uvx_stay(tmp_path: Path) -> None:
    words = ["--with", "pypdf>=6", "--from", "git+https://old", "ollama-mcp-server", "--read-only"]
    target = put(tmp_path, BY_KEY["cursor"], json.dumps({"mcpServers": {"ollama": {"command": "uvx", "args": words}}}))
    target.install(Wanted(["/bin/uvx", "--from", "git+https://new", "ollama-mcp-server"], [], "", "ollama"))
    assert read(target)["args"] == ["--with", "pypdf>=6", "--from", "git+https://new", *words[4:]]


def test_a_time_limit_that_its_user_set_stays(tmp_path: Path) -> None:
    target = put(
        tmp_path, BY_KEY["codex"], '[mcp_servers.ollama]\ncommand = "ollama-mcp-server"\ntool_timeout_sec = 5\n'
    )
    target.install(KEEP)
    assert read(target) == {
        "command": KEEP.program[0],
        "args": [],
        "env": {"OLLAMA_HOST": "http://127.0.0.1:11434"},
        "required": True,
        "startup_timeout_sec": 60,
        "tool_timeout_sec": 5,
    }


BROKEN = {
    "json": [
        '{"mcpServers": {',
        '{"a": 1} x',
        '{"a" 1}',
        "[]",
        '{"mcpServers": [], "servers": []}',
        "{'a': 1}",
        "\x00",
    ],
    "toml": ["a = ", "[mcp_servers\n", "mcp_servers = 1\n", "a = 1\na = 2\n"],
    "yaml": ["a: [", "- a\n", "a: 1\na: 2\n", "extensions: 1\n", "a: 2024-99-99\n", "\ta: b\n"],
}


EXAMPLE = {"json": BY_KEY["cursor"], "toml": BY_KEY["codex"], "yaml": BY_KEY["goose"]}


@pytest.mark.parametrize(("form", "text"), [(form, text) for form, texts in BROKEN.items() for text in texts])
def test_a_file_that_cannot_be_parsed_is_left_alone(form: str, text: str, tmp_path: Path) -> None:
    _is_refused(put(tmp_path, EXAMPLE[form], text), DiskError, "is left as it is")


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("cursor", '{"mcpServers": {"ollama": {}, "ollama": {}}}', "two members 'ollama'"),
        ("codex", "[mcp_servers.ollama]\na=1\n[mcp_servers.ollama]\na=1\n", "ollama"),
        ("continue", "mcpServers:\n- name: ollama\n- name: ollama\n", "2 entries named 'ollama'"),
        ("goose", "extensions:\n  ollama: {}\n  ollama: {}\n", "duplicate key"),
    ],
)
def test_two_entries_of_one_name_are_left_alone(key: str, text: str, said: str, tmp_path: Path) -> None:
    _is_refused(put(tmp_path, BY_KEY[key], text), DiskError, said)


@pytest.mark.parametrize("command", ["npx", "docker"])
def test_another_servers_entry_is_left_alone(command: str, tmp_path: Path) -> None:
    text = json.dumps({"mcpServers": {"ollama": {"command": command, "args": ["-y", "ollama-mcp-server"]}}})
    target = put(tmp_path, BY_KEY["cursor"], text)
    _is_refused(target, InvalidArgument, "another server's")
    assert target.install(Wanted(PROGRAM, [], "", "local")).verb == "added"


def _is_refused(target: Target, error: type[Exception], said: str) -> None:
    before = target.path.read_bytes()
    for act in (lambda: target.install(OURS), lambda: target.uninstall("ollama")):
        with pytest.raises(error, match=said):
            act()
    assert target.path.read_bytes() == before
    assert [one.name for one in target.path.parent.iterdir()] == [target.path.name]


KEYS = st.text(min_size=1, max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(KEYS, JSON, max_size=4),
    st.none() | st.dictionaries(KEYS, JSON, max_size=3),
    st.sampled_from([None, 1, 4, "\t"]),
)
def test_any_json_gets_the_entry_and_nothing_else(
    rest: dict[str, Any], servers: dict[str, Any] | None, indent: int | str | None
) -> None:
    rest = {**rest, **({} if servers is None else {"servers": servers})}
    place = Place("json", ("servers",), "ollama")
    changed = place.set(json.dumps(rest, indent=indent), {"command": "x"})
    assert json.loads(changed) == {**rest, "servers": {**(servers or {}), "ollama": {"command": "x"}}}
    assert json.loads(place.remove(changed)) == {**rest, "servers": servers or {}}


def test_bytes_that_are_no_utf8_are_left_alone(tmp_path: Path) -> None:
    target = put(tmp_path, BY_KEY["cursor"], None)
    target.path.write_bytes('{"a": "é"}'.encode("utf-16"))
    _is_refused(target, DiskError, "not UTF-8")


def test_a_byte_order_mark_stays(tmp_path: Path) -> None:
    target = put(tmp_path, BY_KEY["zed"], "\ufeff{}")
    target.install(OURS)
    assert target.path.read_text(encoding="utf-8").startswith("\ufeff{\n")


def test_a_read_only_file_is_left_alone(tmp_path: Path) -> None:
    target = put(tmp_path, BY_KEY["cursor"], "{}")
    target.path.chmod(0o444)
    with pytest.raises(DiskError, match="cannot be written: it is read-only; nothing was changed"):
        target.install(OURS)
    assert target.path.read_text() == "{}" and len(list(target.path.parent.iterdir())) == 1


def test_a_link_goes_on_to_point_to_its_file(tmp_path: Path) -> None:
    target = put(tmp_path, BY_KEY["cursor"], None)
    (tmp_path / "dotfiles").mkdir()
    real = tmp_path / "dotfiles" / "mcp.json"
    real.write_text("{}")
    real.chmod(0o640)
    target.path.symlink_to(real)
    target.install(OURS)
    assert target.path.is_symlink() and "ollama" in real.read_text() and real.stat().st_mode & 0o777 == 0o640
    real.unlink()
    with pytest.raises(DiskError, match="a link to nothing"):
        target.install(OURS)


@pytest.mark.skipif(sys.platform == "win32", reason="its paths have no quotes")
@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.key)
def test_a_home_may_have_spaces_quotes_and_brackets_in_its_path(host: HostApp, tmp_path: Path) -> None:
    home = tmp_path / 'it\'s "mine" [1]* $HOME'
    home.mkdir()
    target = put(home, host, None)
    assert target.path.is_relative_to(home) and target.install(OURS).verb == "added"
    assert host.words(read(target)) == [*PROGRAM, *ODD] and target.uninstall("ollama").verb == "removed"


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    target = put(tmp_path, BY_KEY["cursor"], None)
    target.path.mkdir()
    with pytest.raises(DiskError, match="no configuration file"):
        target.install(OURS)


def test_a_file_that_changed_since_it_was_read_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text("{}")
    seen = ConfigFile.read(file)
    file.write_text('{"new": 1}')
    with pytest.raises(DiskError, match="was changed just now"):
        seen.replace("{}")
    assert file.read_text() == '{"new": 1}'


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.key)
def test_a_host_that_is_not_there_is_said_to_be_missing(host: HostApp, tmp_path: Path) -> None:
    assert not is_there(host, machine(tmp_path))
    with pytest.raises(InvalidArgument, match=f"{host.title} was not found"):
        locate(host, machine(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("home", ["", "relative", "/nowhere/at/all"])
def test_without_a_home_it_says_so(home: str) -> None:
    with pytest.raises(InvalidArgument, match="There is no home folder: HOME"):
        locate(BY_KEY["cursor"], Machine("linux", {"HOME": home}))


PATHS = [
    ("claude-desktop", "linux", ".config/Claude/claude_desktop_config.json"),
    ("claude-desktop", "darwin", "Library/Application Support/Claude/claude_desktop_config.json"),
    ("claude-desktop", "win32", "AppData/Roaming/Claude/claude_desktop_config.json"),
    ("vscode", "linux", ".config/Code/User/mcp.json"),
    ("vscode", "darwin", "Library/Application Support/Code/User/mcp.json"),
    ("vscode", "win32", "AppData/Roaming/Code/User/mcp.json"),
    ("zed", "darwin", ".config/zed/settings.json"),
    ("zed", "win32", "AppData/Roaming/Zed/settings.json"),
    ("goose", "darwin", ".config/goose/config.yaml"),
    ("opencode", "darwin", ".config/opencode/opencode.json"),
]


@pytest.mark.parametrize(("key", "system", "path"), PATHS)
def test_each_system_has_its_own_folders(key: str, system: str, path: str, tmp_path: Path) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    assert locate(BY_KEY[key], machine(tmp_path, system)).path == tmp_path / path


def test_on_windows_the_stores_package_of_claude_desktop_comes_first(tmp_path: Path) -> None:
    roaming, local = tmp_path / "AppData/Roaming/Claude", tmp_path / "AppData/Local/Packages"
    roaming.mkdir(parents=True)
    (roaming / "claude_desktop_config.json").write_text("{}")
    inside = "LocalCache/Roaming/Claude"
    (local / "Claude_abc" / inside).mkdir(parents=True)
    here, host = machine(tmp_path, "win32"), BY_KEY["claude-desktop"]
    assert locate(host, here).path == local / "Claude_abc" / inside / "claude_desktop_config.json"
    (local / "Claude_xyz" / inside).mkdir(parents=True)
    with pytest.raises(InvalidArgument, match="there 2 times"):
        locate(host, here)


def test_folders_that_variables_name_count(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for key, variable, name in (
        ("codex", "CODEX_HOME", "config.toml"),
        ("claude-code", "CLAUDE_CONFIG_DIR", ".claude.json"),
    ):
        assert locate(BY_KEY[key], machine(tmp_path, **{variable: str(own)})).path == own / name
    (own / "zed").mkdir()
    assert locate(BY_KEY["zed"], machine(tmp_path, XDG_CONFIG_HOME=str(own))).path == own / "zed/settings.json"


def test_opencodes_file_is_the_one_that_is_there(tmp_path: Path) -> None:
    target = put(tmp_path, BY_KEY["opencode"], None)
    for name in ("opencode.jsonc", "opencode.json"):
        file = target.path.with_name(name)
        file.write_text("{}")
        assert locate(target.host, machine(tmp_path)).path == file
        file.unlink()


def test_without_its_folder_a_host_is_known_by_its_program(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(sys.executable, tmp_path / "bin" / "zed")
    target = locate(BY_KEY["zed"], machine(tmp_path, PATH=str(tmp_path / "bin")))
    assert target.install(OURS).verb == "added"
    assert target.path == tmp_path / ".config/zed/settings.json"
