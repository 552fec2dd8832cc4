"""Folders allowed at the command line: kept in a file, in force at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ollama_mcp.access import AllowedFolders, Purpose, ReadRules, allow_folder, allowed_folders_file, open_file
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed
from ollama_mcp.settings.access import ReadSettings
from tests.access.conftest import Machine


def test_an_allowed_folder_is_read_at_once_by_rules_that_exist_already(machine: Machine) -> None:
    file = machine.base / "config" / "allowed.json"
    rules = ReadRules(ReadSettings(), machine.environment(), AllowedFolders(file))
    with pytest.raises(NotAllowed):
        open_file(str(machine.outside / "secret.png"), Purpose.IMAGE, rules)
    assert allow_folder(str(machine.outside), file=file) == machine.outside
    for purpose in Purpose:
        with open_file(str(machine.outside / "secret.png"), purpose, rules) as opened:
            assert opened.path == str(machine.outside / "secret.png")


def test_a_folder_is_allowed_for_the_purposes_asked_and_stands_once(machine: Machine) -> None:
    file = machine.base / "allowed.json"
    for _ in range(2):
        allow_folder(str(machine.outside), file=file, purposes=[Purpose.TEXT])
    assert json.loads(file.read_bytes()) == {"read": {"text_folders": [str(machine.outside)]}}
    assert AllowedFolders(file).folders(Purpose.IMAGE) == ()


def test_the_configuration_file_in_use_keeps_all_else_that_stands_in_it(machine: Machine) -> None:
    file = machine.base / "config.json"
    file.write_text(json.dumps({"model": "x", "read": {"image_folders": ["~"], "over_http": True}}), encoding="utf-8")
    allow_folder(str(machine.outside), file=file, purposes=[Purpose.IMAGE])
    assert json.loads(file.read_bytes()) == {
        "model": "x",
        "read": {"image_folders": ["~", str(machine.outside)], "over_http": True},
    }


def test_a_symlinked_configuration_file_stays_a_link(machine: Machine) -> None:
    real = machine.base / "dotfiles.json"
    real.write_text("{}", encoding="utf-8")
    link = machine.base / "link.json"
    link.symlink_to(real)
    allow_folder(str(machine.outside), file=link)
    assert link.is_symlink()
    assert str(machine.outside) in real.read_text(encoding="utf-8")


def test_a_folder_is_kept_by_its_real_path(machine: Machine) -> None:
    (machine.base / "link").symlink_to(machine.outside)
    assert allow_folder(str(machine.base / "link"), file=machine.base / "a.json") == machine.outside


@pytest.mark.parametrize("folder", ["/", "/proc", "/dev"])
def test_whole_disks_and_device_trees_are_never_allowed(machine: Machine, folder: str) -> None:
    with pytest.raises(NotAllowed):
        allow_folder(folder, file=machine.base / "a.json")
    assert not (machine.base / "a.json").exists()


def test_what_is_no_folder_cannot_be_allowed(machine: Machine) -> None:
    for path in (machine.base / "absent", machine.outside / "secret.png"):
        with pytest.raises(InvalidArgument):
            allow_folder(str(path), file=machine.base / "a.json")


@pytest.mark.parametrize("text", ["{", "[]", '{"read": []}', '{"read": {"image_folders": 3}}', "[" * 100_000])
def test_a_broken_file_is_left_alone_and_allows_nothing(machine: Machine, text: str) -> None:
    file = machine.base / "a.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DiskError):
        allow_folder(str(machine.outside), file=file)
    assert file.read_text(encoding="utf-8") == text
    assert AllowedFolders(file).folders(Purpose.IMAGE) == ()


def test_a_running_server_follows_changes_of_the_file_and_its_removal(machine: Machine) -> None:
    file = machine.base / "a.json"
    allowed = AllowedFolders(file)
    assert allowed.folders(Purpose.IMAGE) == ()
    allow_folder(str(machine.outside), file=file)
    assert allowed.folders(Purpose.IMAGE) == allowed.folders(Purpose.IMAGE) == (str(machine.outside),)
    allow_folder(str(machine.work), file=file)
    assert allowed.folders(Purpose.IMAGE) == (str(machine.outside), str(machine.work))
    file.unlink()
    assert allowed.folders(Purpose.IMAGE) == ()


def test_a_file_that_cannot_be_written_is_a_disk_error_and_leaves_nothing(machine: Machine) -> None:
    blocked = machine.base / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(DiskError):
        allow_folder(str(machine.outside), file=blocked / "allowed.json")
    folder = machine.base / "taken.json"
    (folder / "inner").mkdir(parents=True)
    with pytest.raises(DiskError):
        allow_folder(str(machine.outside), file=folder)
    assert os.listdir(machine.base).count("taken.json") == 1


def test_by_default_the_file_lies_in_the_users_configuration_folder(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(machine.base / "xdg"))
    monkeypatch.setenv("HOME", str(machine.home))
    assert allowed_folders_file().name == "allowed.json"
    allow_folder(str(machine.outside))
    assert AllowedFolders(allowed_folders_file()).folders(Purpose.UPLOAD) == (str(machine.outside),)
    assert Path(machine.base) in allowed_folders_file().parents


def test_a_full_disk_leaves_the_old_file_and_no_temporary_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = machine.base / "allowed.json"
    allow_folder(str(machine.outside), file=file)
    before, names = file.read_bytes(), set(os.listdir(machine.base))

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DiskError, match="No space left"):
        allow_folder(str(machine.work), file=file)
    assert file.read_bytes() == before
    assert set(os.listdir(machine.base)) == names
