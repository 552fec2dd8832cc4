"""Where results may be written, and that nothing leads elsewhere."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import platformdirs
import pytest

import ollama_mcp
from ollama_mcp._paths import shipped_path
from ollama_mcp.access import AllowedFolders, FolderNotAllowed, ReadRules, WriteRules
from ollama_mcp.access.quoting import quoted
from ollama_mcp.errors import InvalidArgument, NotAllowed
from ollama_mcp.settings import Settings
from ollama_mcp.settings.access import ReadSettings, WriteSettings
from tests.access.conftest import Machine, put
from tests.access.support import ENDINGS, everything_below, refused, write, writer


@pytest.fixture
def results(machine: Machine) -> Path:
    folder = machine.base / "results"
    folder.mkdir()
    return folder


def test_a_file_in_a_listed_folder_is_written_whole_and_for_its_owner_only(machine: Machine, results: Path) -> None:
    path = write(writer(machine, results), results / "a.jsonl", b'{"row": 1}\n', b'{"row": 2}\n')
    assert path == results / "a.jsonl"
    assert path.read_bytes() == b'{"row": 1}\n{"row": 2}\n'
    assert os.listdir(results) == ["a.jsonl"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_spelling_of_a_path_is_taken(machine: Machine, results: Path) -> None:
    (machine.home / "out").mkdir()
    access = writer(machine, results, "~/out")
    assert write(access, "~/out/a.md", b"a") == machine.home / "out" / "a.md"
    assert write(access, f"file://{results}/a%20b.CSV", b"a") == results / "a b.CSV"
    assert write(access, f"  {results}/./x/../c.txt ", b"a") == results / "c.txt"


def test_a_bare_name_goes_to_the_first_folder_that_may_be_written_to(machine: Machine, results: Path) -> None:
    (results / "inner").mkdir()
    put(machine.work / "pyproject.toml")
    assert write(writer(machine, results, machine.work), "a.json", b"1") == results / "a.json"
    assert write(writer(machine, results), "inner/b.json", b"1") == results / "inner" / "b.json"
    assert write(writer(machine), "c.json", b"1") == machine.work / "c.json"


def test_the_working_folder_counts_as_a_project_only_and_by_its_setting(machine: Machine) -> None:
    assert isinstance(refused(writer(machine), machine.work / "a.json"), NotAllowed)
    put(machine.work / "pyproject.toml")
    assert write(writer(machine), machine.work / "a.json", b"1") == machine.work / "a.json"
    never = WriteSettings(working_folder="never")
    assert isinstance(refused(writer(machine, settings=never), machine.work / "b.json"), NotAllowed)


def test_where_nothing_else_may_be_written_to_a_folder_of_our_own_is_made(machine: Machine) -> None:
    own = machine.home / "ollama-mcp"
    assert isinstance(refused(writer(machine), machine.outside / "a.json"), NotAllowed)
    assert not own.exists()
    assert write(writer(machine), "a.json", b"1") == own / "a.json"
    assert write(writer(machine), "~/ollama-mcp/b.json", b"1") == own / "b.json"
    if sys.platform != "win32":
        assert stat.S_IMODE(own.stat().st_mode) == 0o700


def test_our_own_folder_is_closed_where_the_user_chose_others(machine: Machine, results: Path) -> None:
    refused(writer(machine, results), "~/ollama-mcp/a.json")
    assert not (machine.home / "ollama-mcp").exists()


def test_our_own_folder_cannot_be_a_link_into_the_void_or_a_file(machine: Machine) -> None:
    (machine.home / "ollama-mcp").symlink_to(machine.outside / "made")
    refused(writer(machine), "a.json")
    assert not (machine.outside / "made").exists()
    (machine.home / "ollama-mcp").unlink()
    put(machine.home / "ollama-mcp")
    assert isinstance(refused(writer(machine), "a.json"), InvalidArgument)


def test_folders_that_may_be_read_may_not_be_written_to(machine: Machine) -> None:
    reading = ReadSettings(image_folders=[str(machine.outside)], text_folders=[str(machine.outside)])
    rules = ReadRules(reading, machine.environment())
    error = refused(writer(machine, rules=rules), machine.outside / "a.json")
    assert "write.folders" in error.message
    # A form that opens a folder for reading must not come of it.
    assert not isinstance(error, FolderNotAllowed)


def test_read_only_and_its_setting_refuse_everything(machine: Machine, results: Path) -> None:
    error = refused(writer(machine, results, read_only=True), results / "a.json")
    assert isinstance(error, NotAllowed)
    assert "read_only" in error.message
    assert os.listdir(results) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "a.py",
        "a.sh",
        "a.json.py",
        ".json",
        "a.json/",
        "a.json\0",
        "a\0.json",
        "a\n.json",
        "a\r.json",
        "\ud800.json",
        "a" * 300 + ".json",
        "ä" * 130 + ".json",
        "b" * 300 + "/a.json",
        "NUL.json",
        "con.json",
        "COM1.txt",
        "aux/a.json",
        "a.json:stream.json",
        "C:a.json",
        "C:\\a.json",
        "a:b.csv",
    ],
)
def test_names_that_are_none_are_invalid_arguments(machine: Machine, results: Path, name: str) -> None:
    for path in (name, f"{results}/{name}"):
        # With a folder before it a drive is a stream, and a slash at the end none.
        if path.endswith("/") or path == f"{results}/C:\\a.json":
            continue
        error = refused(writer(machine, results), path)
        assert isinstance(error, InvalidArgument), path
    assert everything_below(results) == {}


@pytest.mark.parametrize("code", ["%00", "%0a", "%3a", "NUL.json%2fx", "%2e%2e%2f%2e%2e%2fetc%2f"])
def test_codes_in_a_file_uri_hide_nothing(machine: Machine, results: Path, code: str) -> None:
    refused(writer(machine, results), f"file://{results}/{code}a.json")
    assert everything_below(results) == {}


def test_a_tool_chooses_among_the_fixed_endings_and_cannot_add_to_them(machine: Machine, results: Path) -> None:
    access = writer(machine, results)
    for name, endings in (("a.json", [".csv"]), ("a.py", [".csv", ".py"])):
        with pytest.raises(InvalidArgument, match=r"\.csv") as caught:
            access.prepare_output(name, endings)
        assert ".py'" not in str(caught.value).replace(repr(name), "")
    access.prepare_output("a.csv", [".csv"]).close()


@pytest.mark.parametrize(
    "share", ["//host/share/a.json", "\\\\host\\share\\a.json", "file://host/a.json", "\\\\.\\a.json"]
)
def test_network_shares_and_devices_are_refused_by_their_text(machine: Machine, results: Path, share: str) -> None:
    refused(writer(machine, results, "/"), share)


@pytest.mark.parametrize("path", ["/proc/self/a.json", "/dev/shm/a.json", "/sys/a.json"])
def test_trees_of_the_system_are_refused_even_if_the_whole_disk_is_listed(machine: Machine, path: str) -> None:
    refused(writer(machine, "/"), path)
    (machine.home / "tree").symlink_to(os.path.dirname(path))
    refused(writer(machine, "/"), machine.home / "tree" / "a.json")


def test_no_spelling_and_no_link_leads_out(machine: Machine, results: Path) -> None:
    (results / "link").symlink_to(machine.outside)
    (results / "again").symlink_to(results / "link")
    access = writer(machine, results)
    before = everything_below(machine.base)
    for path in ("link/a.json", "again/a.json", "../a.json", "../outside/a.json", "link/../../outside/a.json"):
        assert isinstance(refused(access, results / path), NotAllowed)
        assert isinstance(refused(access, path, overwrite=True), NotAllowed)
    assert isinstance(refused(access, f"{results}2/a.json"), NotAllowed)
    assert everything_below(machine.base) == before


def test_a_link_to_another_listed_folder_is_followed(machine: Machine, results: Path) -> None:
    (results / "inner").mkdir()
    (results / "link").symlink_to(results / "inner")
    assert write(writer(machine, results), results / "link" / "a.json", b"1") == results / "inner" / "a.json"


def test_whether_a_folder_outside_exists_does_not_show(machine: Machine, results: Path) -> None:
    there = refused(writer(machine, results), machine.outside / "a.json")
    absent = refused(writer(machine, results), machine.base / "absent_" / "a.json")
    assert str(there).replace("outside/", "absent_/") == str(absent)


def test_a_missing_folder_is_not_made_and_the_closest_is_named(machine: Machine, results: Path) -> None:
    (results / "one").mkdir()
    error = refused(writer(machine, results), results / "one" / "two" / "three" / "a.json")
    assert isinstance(error, InvalidArgument)
    assert quoted(str(results / "one")) in error.next_step
    put(results / "file.txt")
    assert isinstance(refused(writer(machine, results), results / "file.txt" / "a.json"), InvalidArgument)
    assert sorted(os.listdir(results)) == ["file.txt", "one"]


@pytest.mark.parametrize("name", [".a.json", ".git/a.json", ".vscode/settings.json", "in/.x/a.json"])
def test_hidden_files_and_folders_are_refused(machine: Machine, results: Path, name: str) -> None:
    put(results / name)
    before = everything_below(results)
    assert "hidden" in refused(writer(machine, results), results / name, overwrite=True).message
    assert everything_below(results) == before


def test_folders_of_programs_in_home_are_refused_unless_listed(machine: Machine) -> None:
    (machine.home / "Library" / "Results").mkdir(parents=True)
    assert "program" in refused(writer(machine, "~"), "~/Library/a.json").message
    write(writer(machine, "~/Library/Results"), "a.json", b"1")


def test_files_that_programs_obey_are_refused_in_listed_folders_too(
    machine: Machine, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(machine.base / "config"))
    for name in ("tools", "prompts", "elsewhere"):
        (results / name).mkdir()
    (results / "prompts-link").symlink_to(results / "prompts")
    settings = Settings.model_validate(
        {
            "write": {"folders": ["/"]},
            "tools": {"folders": [str(results / "tools")]},
            "prompts": {"folders": [str(results / "prompts-link")]},
        }
    )
    config = machine.base / "elsewhere.json"
    rules = ReadRules(ReadSettings(), machine.environment(), AllowedFolders(config))
    access = writer(machine, rules=rules)
    access = type(access)(rules, access.urls, write_rules=WriteRules.from_settings(settings))
    user = Path(platformdirs.user_config_dir("ollama-mcp-server", appauthor=False))
    user.mkdir(parents=True, exist_ok=True)
    package = Path(ollama_mcp.__file__ or "").parent
    for folder in (
        results / "tools",
        results / "prompts",
        user,
        package,
        shipped_path("tools"),
        shipped_path("prompts"),
    ):
        assert "no setting allows" in str(refused(access, folder / "a.json", overwrite=True)), folder
        assert not (folder / "a.json").exists()
    for file in (config, shipped_path("config.json")):
        before = file.read_bytes() if file.exists() else None
        assert "no setting allows" in str(refused(access, file, overwrite=True))
        assert (file.read_bytes() if file.exists() else None) == before
    (results / "elsewhere" / "tools").symlink_to(results / "tools")
    refused(access, results / "elsewhere" / "tools" / "a.md")
    write(access, results / "elsewhere" / "a.md", b"1")


@pytest.mark.parametrize(
    "name", ["CLAUDE.md", "agents.MD", "agent\u017f.md", "con\ufb01g.json", "package.json", "requirements.txt"]
)
def test_names_that_agents_and_builds_obey_are_refused(machine: Machine, results: Path, name: str) -> None:
    said = refused(writer(machine, results), results / name)
    assert isinstance(said, NotAllowed)
    assert "obey" in str(said)
    assert not everything_below(results)


def test_the_folder_of_the_store_is_refused_but_not_where_the_user_chose_it_for_results(
    machine: Machine, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = results / "data" / "store.json"
    put(store)
    (results / "data" / "out").mkdir()
    assert "no setting allows" in str(refused(writer(machine, results, store_file=str(store)), "data/a.json"))
    chosen = writer(machine, store.parent, store_file=str(store))
    write(chosen, "a.json", b"1")
    assert "no setting allows" in str(refused(chosen, "store.json", overwrite=True))
    write(writer(machine, results, store_file=""), "data/b.json", b"1")
    monkeypatch.setenv("XDG_DATA_HOME", str(machine.base / "data"))
    assert WriteRules.from_settings(Settings()).store_file == str(
        machine.base / "data" / "ollama-mcp-server" / "store.sqlite3"
    )
    memory = Settings.model_validate({"store": {"path": ":memory:"}, "read_only": True})
    assert (WriteRules.from_settings(memory).store_file, WriteRules.from_settings(memory).read_only) == ("", True)


def test_over_http_only_listed_folders_and_only_with_the_setting_and_a_token(machine: Machine, results: Path) -> None:
    put(machine.work / "pyproject.toml")
    environment = machine.environment(over_http=True, has_token=True)
    closed = writer(machine, results, rules=ReadRules(ReadSettings(), environment))
    assert "read.over_http" in refused(closed, "a.json").message
    tokenless = ReadRules(ReadSettings(over_http=True), machine.environment(over_http=True))
    assert "token" in refused(writer(machine, results, rules=tokenless), "a.json").message
    rules = ReadRules(ReadSettings(over_http=True), environment)
    assert write(writer(machine, results, rules=rules), "a.json", b"1") == results / "a.json"
    assert isinstance(refused(writer(machine, results, rules=rules), machine.work / "a.json"), NotAllowed)
    for path in ("a.json", "~/ollama-mcp/a.json", machine.work / "a.json"):
        assert isinstance(refused(writer(machine, rules=rules), path), NotAllowed)
    assert not (machine.home / "ollama-mcp").exists()


def test_what_is_prepared_only_leaves_no_trace(machine: Machine, results: Path) -> None:
    writer(machine, results).prepare_output("a.json", ENDINGS).close()
    assert everything_below(results) == {}
