"""What is refused by its text or its kind, and how files are read that are not."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from ollama_mcp._command import command
from ollama_mcp.access import Purpose, RuntimeEnvironment, open_file
from ollama_mcp.access.descriptors import canonical_folder
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed
from ollama_mcp.settings.access import ReadSettings
from tests.access.conftest import Machine, put
from tests.access.support import content, refusal


@pytest.mark.parametrize(
    "text",
    [
        "\\\\host\\share\\a.png",
        "//host/share/a.png",
        "\\/host/share/a.png",
        "\\\\?\\C:\\a.png",
        "\\\\.\\PhysicalDrive0",
        "file://host/a.png",
        "file:////host/share/a.png",
        "C:\\a.png:ads",
        "NUL.png",
        "con",
        "lpt1.txt ",
        "C:\\aux .png",
    ],
)
def test_shares_devices_and_streams_are_refused_by_their_text(machine: Machine, text: str) -> None:
    assert isinstance(refusal(text, machine.rules()), NotAllowed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "cat.png",
        "Pictures/cat.png",
        "C:\\a.png",
        "C:a.png",
        "~root/a.png",
        "/a\0b",
        "/a\nb",
        "/" + "a" * 5000,
    ],
)
def test_what_is_no_absolute_path_is_an_invalid_argument(machine: Machine, text: str) -> None:
    assert isinstance(refusal(text, machine.rules()), InvalidArgument)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX devices")
@pytest.mark.parametrize("text", ["/dev/zero", "/dev/stdin", "/proc/self/environ", "/proc/self/fd/0", "/sys/kernel"])
def test_devices_and_kernel_files_are_refused_even_if_the_whole_disk_is_listed(machine: Machine, text: str) -> None:
    rules = machine.rules(ReadSettings(image_folders=["/"], text_folders=["/"]))
    assert "system" in refusal(text, rules).message
    (machine.home / "link.png").symlink_to(text)
    refusal(machine.home / "link.png", rules)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX special files")
def test_pipes_sockets_and_folders_are_refused_without_waiting(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(machine.home / "pipe.png")
    monkeypatch.chdir(machine.home)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
        for name in ("pipe.png", "socket.png"):
            assert isinstance(refusal(machine.home / name, machine.rules()), NotAllowed)
    error = refusal(machine.home / "Pictures", machine.rules())
    assert isinstance(error, InvalidArgument)
    assert "folder" in error.message


def test_a_missing_file_gives_the_closest_names_that_may_be_read(machine: Machine) -> None:
    put(machine.home / "Pictures" / "dog.png")
    error = refusal(machine.home / "Pictures" / "Cat.jpg", machine.rules())
    assert "'cat.png'" in str(error)
    assert "dog" not in str(error)


def test_closest_names_do_not_tell_of_files_that_may_not_be_read(machine: Machine) -> None:
    put(machine.home / ".photo1.png")
    (machine.home / "photo2.png").symlink_to(machine.outside / "secret.png")
    put(machine.work / "pyproject.toml")
    put(machine.work / "deploy.pem")
    assert "photo" not in refusal("~/photo.png", machine.rules()).next_step
    assert "deploy" not in refusal(machine.work / "deploy.pen", machine.rules(), Purpose.TEXT).next_step
    assert isinstance(refusal("~/nowhere/photo.png", machine.rules()), InvalidArgument)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root reads everything")
def test_a_file_without_rights_is_a_disk_error(machine: Machine) -> None:
    path = put(machine.home / "closed.png")
    path.chmod(0)
    assert isinstance(refusal(path, machine.rules()), DiskError)


def test_a_path_part_that_is_a_file_is_a_disk_error(machine: Machine) -> None:
    assert isinstance(refusal("~/Pictures/cat.png/x.png", machine.rules()), DiskError)


def test_a_file_above_the_limit_is_refused_and_the_setting_named(machine: Machine) -> None:
    path = put(machine.home / "large.png", "x" * 1001)
    assert "images.max_bytes" in refusal(path, machine.rules()).message


def test_a_file_that_grows_while_it_is_read_is_refused(machine: Machine) -> None:
    path = put(machine.home / "log.png", "x" * 10)
    with open_file(str(path), Purpose.IMAGE, machine.rules()) as file:
        put(path, "x" * 2000)
        with pytest.raises(InvalidArgument):
            file.read(1000, setting="images.max_bytes")


@pytest.mark.skipif(sys.platform != "linux", reason="sparse files differ by file system")
def test_a_sparse_file_shows_in_what_is_allocated(machine: Machine) -> None:
    path = machine.home / "sparse.bin"
    with path.open("wb") as stream:
        stream.truncate(1 << 30)
    with open_file(str(path), Purpose.IMAGE, machine.rules()) as file:
        assert (file.size, file.allocated) == (1 << 30, 0)


def test_descriptors_are_closed_also_when_refused(machine: Machine) -> None:
    os.link(machine.outside / "secret.png", machine.temp / "hard.png")
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for _ in range(20):
        refusal(machine.temp / "hard.png", machine.rules())
        content("~/Pictures/cat.png", machine.rules())
    assert (len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0) == before


def test_long_paths_keep_the_error_short(machine: Machine) -> None:
    folder = machine.outside / ("a" * 200) / ("b" * 200)
    error = refusal(folder / "x.png", machine.rules())
    assert f"`{command('allow FOLDER')}`" in str(error)


def test_a_folder_that_does_not_exist_is_not_canonical(tmp_path: Path) -> None:
    assert canonical_folder(str(tmp_path / "absent")) is None
    assert canonical_folder("nul\0byte") is None


def test_the_facts_of_this_process_name_home_working_and_temporary_folder() -> None:
    environment = RuntimeEnvironment.current()
    assert environment.working_folder == os.getcwd()
    assert os.path.isabs(environment.home)
    assert environment.temp_folders
    assert not environment.over_http


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux where a descriptor lies")
def test_a_file_removed_while_it_is_opened_and_one_without_a_known_place_are_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(machine.home / "gone.png")
    real_fstat, real_readlink = os.fstat, os.readlink

    def removing(descriptor: int) -> os.stat_result:
        path.unlink(missing_ok=True)
        return real_fstat(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", removing)
        assert "removed" in refusal(path, machine.rules()).message

    def silent(place: str) -> str:
        target = real_readlink(place)
        if target.endswith("cat.png"):
            raise OSError("no such facility")
        return target

    with monkeypatch.context() as patched:
        patched.setattr(os, "readlink", silent)
        assert isinstance(refusal("~/Pictures/cat.png", machine.rules()), NotAllowed)
