"""`config path | get | set`: a setting is written to the user's file, in which all else stays as it was."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.cli.test_doors import said

TEXT = """\
{
  "$schema": "./config.schema.json",
    "limits": { "files": 7 },
  "read": {"text_folders": ["/srv/a b"]}
}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own file would be."""
    for name in [name for name in os.environ if name.startswith("OLLAMA")]:
        monkeypatch.delenv(name)
    path = tmp_path / "config.json"
    monkeypatch.setattr("ollama_mcp.cli.config_file.user_config_file", lambda: path)
    monkeypatch.setattr("ollama_mcp.settings.load.user_config_file", lambda: path)
    return path


def test_the_path_is_that_of_the_file_in_use(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, out, err = said(capsys, "config", "path")
    assert (code, out) == (0, f"{file}\n") and "not there yet" in err
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")
    assert said(capsys, "config", "path", "--config", str(other)) == (0, f"{other}\n", "")
    assert json.loads(said(capsys, "config", "path", "--json")[1]) == {"file": str(file), "exists": False}


def test_a_value_stands_alone_and_where_it_came_from_beside_it(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(TEXT, encoding="utf-8")
    assert said(capsys, "config", "get", "limits.files") == (0, "7\n", f"from config file {file}\n")
    assert said(capsys, "config", "get", "limits.files", "--quiet") == (0, "7\n", "")
    assert said(capsys, "config", "get", "transport")[1] == "stdio\n"
    _, out, _ = said(capsys, "config", "get", "limits")
    assert f"limits.files = 7  # config file {file}" in out.splitlines() and "read." not in out
    _, out, _ = said(capsys, "config", "get", "limits.files", "--json")
    assert json.loads(out) == {"name": "limits.files", "value": 7, "from": f"config file {file}"}


def test_a_secret_is_not_shown(file: Path, capsys: pytest.CaptureFixture[str]):
    code, out, err = said(capsys, "config", "set", "api_key", "hush")
    assert code == 0 and json.loads(file.read_text(encoding="utf-8")) == {"api_key": "hush"}
    assert "hush" not in out + err + said(capsys, "config", "get", "api_key")[1]
    assert sys.platform == "win32" or file.stat().st_mode & 0o077 == 0


def test_one_setting_changes_and_no_other_byte(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(TEXT, encoding="utf-8")
    assert said(capsys, "config", "set", "limits.files", "9")[0] == 0
    assert file.read_text(encoding="utf-8") == TEXT.replace('"files": 7', '"files": 9')
    assert said(capsys, "config", "set", "read.working_folder", "never")[0] == 0
    assert json.loads(file.read_text(encoding="utf-8"))["read"]["working_folder"] == "never"
    assert '"limits": { "files": 9 }' in file.read_text(encoding="utf-8")
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("tools.toolsets", "inference, models", ["inference", "models"]),
        ("tools.toolsets", '["work"]', ["work"]),
        ("defaults.model", "3", "3"),
        ("read_only", "true", True),
        ("limits.listed", "50", 50),
    ],
)
def test_values_are_taken_as_they_are_typed(
    file: Path, capsys: pytest.CaptureFixture[str], name: str, typed: str, value: object
):
    assert said(capsys, "config", "set", name, typed)[0] == 0
    assert json.loads(said(capsys, "config", "get", name, "--json")[1])["value"] == value


@pytest.mark.parametrize(
    ("text", "arguments", "why"),
    [
        (TEXT, ("limits.files", "many"), "valid integer"),
        (TEXT, ("limits.filez", "1"), "Did you mean limits.files?"),
        (TEXT, ("limits.files",), "takes a setting and its value"),
        (TEXT, ("limits", "{}"), "There is no setting 'limits'"),
        ("{oh", ("limits.files", "1"), "cannot be read"),
        ('{"limits": {"files": 1}, "limits": {}}', ("limits.files", "1"), "is left as it is"),
        ('{"limits": {"nope": 1}}', ("limits.files", "1"), "unknown setting 'limits.nope'"),
    ],
)
def test_what_is_wrong_changes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, arguments: tuple[str, ...], why: str
):
    file.write_text(text, encoding="utf-8")
    code, out, err = said(capsys, "config", "set", *arguments)
    assert (code, out) == (2, "") and why in err
    assert file.read_text(encoding="utf-8") == text


def test_a_wrong_value_of_that_setting_can_be_set_right(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text('{"limits": {"files": "many"}}', encoding="utf-8")
    assert said(capsys, "config", "set", "limits.files", "9")[0] == 0
    assert json.loads(file.read_text(encoding="utf-8")) == {"limits": {"files": 9}}


@pytest.mark.skipif(sys.platform == "win32", reason="has other links")
def test_a_link_stays_one(file: Path, capsys: pytest.CaptureFixture[str]):
    target = file.with_name("dotfile.json")
    target.write_text("{}", encoding="utf-8")
    file.symlink_to(target)
    assert said(capsys, "config", "set", "limits.files", "9")[0] == 0
    assert file.is_symlink() and json.loads(target.read_text(encoding="utf-8")) == {"limits": {"files": 9}}


def test_what_wins_over_the_file_is_told(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OLLAMA_MCP_LIMITS__FILES", "3")
    _, _, err = said(capsys, "config", "set", "limits.files", "9")
    assert "environment OLLAMA_MCP_LIMITS__FILES still wins" in err
