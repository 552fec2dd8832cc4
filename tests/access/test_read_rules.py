"""Which paths open for which purpose, and that nothing leads around it."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ollama_mcp.access import FolderNotAllowed, Purpose, ReadRules
from ollama_mcp.access.folders import is_marked_hidden
from ollama_mcp.access.quoting import allow_command
from ollama_mcp.errors import OllamaMCPError
from ollama_mcp.settings.access import ReadSettings
from tests.access.conftest import Machine, put
from tests.access.support import content, refusal


def test_an_image_below_home_is_read_by_path_tilde_and_file_uri(machine: Machine) -> None:
    path = machine.home / "Pictures" / "cat.png"
    for text in (path, "~/Pictures/cat.png", f"file://{path}", f"file://localhost{path}", f" {path}\n"):
        assert content(text, machine.rules()) == "ok"


def test_a_file_uri_is_decoded_once(machine: Machine) -> None:
    path = put(machine.home / "my cat%20.png", "ok")
    assert content(f"file://{machine.home}/my%20cat%2520.png", machine.rules()) == "ok"
    assert path.exists()


def test_an_image_outside_is_refused_with_the_setting_and_the_command(machine: Machine) -> None:
    error = refusal(machine.outside / "secret.png", machine.rules())
    assert isinstance(error, FolderNotAllowed)
    assert "read.image_folders" in str(error)
    assert allow_command(str(machine.outside)) in str(error)
    assert (error.folder, error.purpose) == (str(machine.outside), Purpose.IMAGE)


@pytest.mark.parametrize(
    "spelling",
    [
        "{outside}/secret.png",
        "{home}/../outside/secret.png",
        "{home}/Pictures/../../outside/secret.png",
        "{home}/./.././outside/secret.png",
        "{home}//..//outside//secret.png",
        "~/../outside/secret.png",
        "~/Pictures/../../outside/secret.png",
        "file://{home}/../outside/secret.png",
        "file://{home}/..%2foutside%2fsecret.png",
        "file://{home}/%2e%2e/outside/secret.png",
        "FILE://localhost{home}/../outside/secret.png",
        "file:{outside}/secret.png",
    ],
)
def test_no_spelling_of_an_outside_file_gets_in(machine: Machine, spelling: str) -> None:
    text = spelling.format(home=machine.home, outside=machine.outside)
    assert isinstance(refusal(text, machine.rules()), FolderNotAllowed)


def test_whether_an_outside_file_exists_cannot_be_told(machine: Machine) -> None:
    there = refusal(machine.outside / "secret.png", machine.rules())
    absent = refusal(machine.outside / "absent.png", machine.rules())
    assert str(there).replace("secret", "absent") == str(absent)


def test_a_folder_whose_name_only_starts_alike_is_outside(machine: Machine) -> None:
    neighbour = put(machine.base / "home2" / "a.png")
    assert isinstance(refusal(neighbour, machine.rules()), FolderNotAllowed)


def test_symlinks_out_of_the_folder_are_refused_without_naming_their_target(machine: Machine) -> None:
    (machine.home / "file.png").symlink_to(machine.outside / "secret.png")
    (machine.home / "again.png").symlink_to(machine.home / "file.png")
    (machine.home / "folder").symlink_to(machine.outside)
    for name in ("file.png", "again.png", "folder/secret.png"):
        error = refusal(machine.home / name, machine.rules())
        assert isinstance(error, FolderNotAllowed)
        assert str(machine.outside) not in str(error)
        assert error.folder == str(machine.outside)


def test_an_honest_symlink_inside_is_followed(machine: Machine) -> None:
    (machine.home / "link.png").symlink_to(machine.home / "Pictures" / "cat.png")
    assert content(machine.home / "link.png", machine.rules()) == "ok"


def _swap_link(machine: Machine) -> None:
    for target in (machine.home / "Pictures" / "cat.png", machine.outside / "cat.png"):
        (machine.home / "next").symlink_to(target)
        os.rename(machine.home / "next", machine.home / "race.png")


def _swap_folder(machine: Machine) -> None:
    pictures, aside = machine.home / "Pictures", machine.home / "aside"
    os.rename(pictures, aside)
    pictures.symlink_to(machine.outside)
    pictures.unlink()
    os.rename(aside, pictures)


@pytest.mark.parametrize(("swap", "name"), [(_swap_link, "race.png"), (_swap_folder, "Pictures/cat.png")])
@pytest.mark.slow
def test_swapping_a_link_or_folder_during_the_call_never_leaks(
    machine: Machine, swap: Callable[[Machine], None], name: str
) -> None:
    put(machine.outside / "cat.png")
    (machine.home / "race.png").symlink_to(machine.home / "Pictures" / "cat.png")
    stop = threading.Event()

    def attack() -> None:
        while not stop.is_set():
            swap(machine)

    attacker = threading.Thread(target=attack)
    attacker.start()
    read: set[str] = set()
    refused = 0
    rules = machine.rules()
    try:
        deadline = time.monotonic() + 1.5
        # On a busy machine longer, until the race was both won and lost.
        while time.monotonic() < deadline or not (read and refused):
            assert time.monotonic() < deadline + 20
            try:
                read.add(content(machine.home / name, rules))
            except OllamaMCPError:
                refused += 1
    finally:
        stop.set()
        attacker.join()
    assert read == {"ok"}
    assert refused


def test_hidden_files_and_folders_and_those_of_programs_are_refused(machine: Machine) -> None:
    for name in (
        ".secret.png",
        ".ssh/id_ed25519",
        "Pictures/.hidden/a.png",
        "Library/a.png",
        "AppData/x/a.png",
        "snap/a",
    ):
        error = refusal(put(machine.home / name), machine.rules())
        assert "hidden" in error.message
        assert not isinstance(error, FolderNotAllowed)


def test_a_hidden_folder_that_the_user_listed_is_read(machine: Machine) -> None:
    path = put(machine.home / ".shots" / "a.png", "ok")
    program = put(machine.home / "Library" / "Photos" / "a.png", "ok")
    rules = machine.rules(ReadSettings(image_folders=["~/.shots", str(program.parent)]))
    assert content(path, rules) == content(program, rules) == "ok"


def test_marks_of_hidden_files_on_other_systems_count() -> None:
    class Status:
        st_flags = 0
        st_file_attributes = 0

    plain, mac, windows = Status(), Status(), Status()
    mac.st_flags = stat.UF_HIDDEN
    windows.st_file_attributes = stat.FILE_ATTRIBUTE_SYSTEM
    assert [is_marked_hidden(status) for status in (plain, mac, windows)] == [False, True, True]


@pytest.mark.parametrize("purpose", [Purpose.TEXT, Purpose.UPLOAD])
def test_home_is_read_for_images_only(machine: Machine, purpose: Purpose) -> None:
    error = refusal(put(machine.home / "notes.txt"), machine.rules(), purpose)
    assert f"read.{purpose}_folders" in str(error)


@pytest.mark.parametrize("name", ["key.pem", "a.KEY", "p.kdbx", "id_rsa", "prod.env", "credentials.json"])
def test_files_named_like_keys_are_never_text_even_in_a_listed_folder(machine: Machine, name: str) -> None:
    rules = machine.rules(ReadSettings(text_folders=[str(machine.outside)]))
    assert "key" in refusal(put(machine.outside / name), rules, Purpose.TEXT).message


def test_an_image_may_have_a_name_like_a_key(machine: Machine) -> None:
    assert content(put(machine.home / "id_card.png", "ok"), machine.rules()) == "ok"


def test_a_dot_env_in_the_working_folder_is_refused(machine: Machine) -> None:
    put(machine.work / "pyproject.toml")
    for purpose in Purpose:
        refusal(put(machine.work / ".env"), machine.rules(), purpose)


def test_the_working_folder_counts_for_images_and_as_a_project_for_text(machine: Machine) -> None:
    path = put(machine.work / "a.txt", "ok")
    rules = machine.rules()
    assert content(path, rules) == "ok"
    refusal(path, rules, Purpose.TEXT)
    put(machine.work / "pyproject.toml")
    assert content(path, rules, Purpose.TEXT) == content(path, rules, Purpose.UPLOAD) == "ok"
    refusal(path, machine.rules(ReadSettings(working_folder="never")), Purpose.TEXT)


def test_a_mark_in_a_parent_below_home_makes_a_project_but_not_one_in_home(machine: Machine) -> None:
    inner = machine.home / "code" / "app" / "src"
    path = put(inner / "a.txt", "ok")
    rules = ReadRules(ReadSettings(), machine.environment(working_folder=inner))
    put(machine.home / ".git" / "config")
    refusal(path, rules, Purpose.TEXT)
    put(machine.home / "code" / "app" / "Cargo.toml")
    assert content(path, rules, Purpose.TEXT) == "ok"


@pytest.mark.parametrize("folder", ["/", "/etc", "/usr/lib", "{home}", "{base}", "{home}/.config"])
def test_a_root_a_system_folder_a_hidden_one_and_parents_of_home_do_not_count(machine: Machine, folder: str) -> None:
    place = Path(folder.format(home=machine.home, base=machine.base))
    put(machine.base / "package.json")
    put(machine.home / "package.json")
    put(machine.home / ".config" / ".git" / "config")
    environment = machine.environment(working_folder=place, roots=(str(place),) if ".config" not in folder else ())
    assert ReadRules(ReadSettings(), environment).folders(Purpose.TEXT) == []


def test_roots_of_a_client_on_stdio_are_read_for_every_purpose(machine: Machine) -> None:
    path = put(machine.outside / "a.txt", "ok")
    rules = ReadRules(ReadSettings(), machine.environment(roots=(str(machine.outside),)))
    assert [content(path, rules, purpose) for purpose in Purpose] == ["ok"] * 3
    refusal(path, ReadRules(ReadSettings(client_roots=False), rules.environment))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners of files are a POSIX matter")
def test_in_the_temporary_folder_only_images_of_the_same_owner_with_one_name(machine: Machine) -> None:
    path = put(machine.temp / "shot.png", "ok")
    assert content(path, machine.rules()) == "ok"
    refusal(path, machine.rules(ReadSettings(temp_images=False)))
    refusal(path, machine.rules(), Purpose.TEXT)
    os.link(machine.outside / "secret.png", machine.temp / "hard.png")
    assert "shared" in refusal(machine.temp / "hard.png", machine.rules()).message


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_in_the_temporary_folder_files_of_another_user_are_refused(machine: Machine) -> None:
    path = put(machine.temp / "shot.png")
    os.chown(path, 12345, 12345)
    assert "another user" in refusal(path, machine.rules()).message


def test_over_http_no_path_is_even_looked_at(machine: Machine) -> None:
    path = machine.home / "Pictures" / "cat.png"
    closed = ReadRules(ReadSettings(), machine.environment(over_http=True, has_token=True))
    for text in (path, "relative", "\\\\host\\share\\a.png", machine.home / "absent.png"):
        assert "read.over_http" in refusal(text, closed).message
    tokenless = ReadRules(ReadSettings(over_http=True), machine.environment(over_http=True))
    assert "token" in refusal(path, tokenless).message


def test_over_http_with_a_token_only_listed_folders_are_read(machine: Machine) -> None:
    environment = machine.environment(over_http=True, has_token=True)
    listed = ReadSettings(over_http=True, image_folders=["~", "~/Pictures"])
    assert content("~/Pictures/cat.png", ReadRules(listed, environment)) == "ok"
    home_only = ReadRules(ReadSettings(over_http=True), environment)
    assert home_only.folders(Purpose.IMAGE) == []
    refusal(put(machine.work / "a.png"), home_only)
