"""That a file is written whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollama_mcp.access import output as output_module
from ollama_mcp.access.descriptors import path_of_descriptor
from ollama_mcp.errors import DiskError, InvalidArgument, NotAllowed, OllamaMCPError
from tests.access.conftest import Machine, put
from tests.access.support import ENDINGS, everything_below, refused, write, writer


@pytest.fixture
def results(machine: Machine) -> Path:
    folder = machine.base / "results"
    folder.mkdir()
    return folder


def test_an_existing_file_stays_unless_it_is_to_be_replaced(machine: Machine, results: Path) -> None:
    path = put(results / "a.json", "old")
    error = refused(writer(machine, results), path)
    assert isinstance(error, InvalidArgument)
    assert "overwrite" in error.next_step
    assert everything_below(results) == {str(path): b"old"}
    write(writer(machine, results), path, b"new", overwrite=True)
    assert everything_below(results) == {str(path): b"new"}


def test_a_link_counts_as_a_file_and_is_replaced_itself(machine: Machine, results: Path) -> None:
    victim = put(machine.outside / "victim.json", "untouched")
    (results / "a.json").symlink_to(victim)
    (results / "b.json").symlink_to(machine.outside / "absent.json")
    access = writer(machine, results)
    for name in ("a.json", "b.json"):
        assert isinstance(refused(access, name), InvalidArgument)
        assert (results / name).is_symlink()
        write(access, name, b"new", overwrite=True)
        assert not (results / name).is_symlink()
    assert victim.read_text(encoding="utf-8") == "untouched"
    assert not (machine.outside / "absent.json").exists()


def test_a_folder_or_pipe_of_that_name_is_never_replaced(machine: Machine, results: Path) -> None:
    (results / "a.json").mkdir()
    assert isinstance(refused(writer(machine, results), "a.json", overwrite=True), InvalidArgument)
    if hasattr(os, "mkfifo"):
        os.mkfifo(results / "b.json")
        assert isinstance(refused(writer(machine, results), "b.json", overwrite=True), NotAllowed)


def test_when_the_content_fails_nothing_is_left_and_the_old_file_stays(machine: Machine, results: Path) -> None:
    path = put(results / "a.json", "old")

    def failing() -> Iterator[bytes]:
        yield b"x" * 3_000_000
        raise ValueError("row 7")

    with (
        writer(machine, results).prepare_output(str(path), ENDINGS, overwrite=True) as output,
        pytest.raises(ValueError, match="row 7"),
    ):
        output.write(failing())
    assert everything_below(results) == {str(path): b"old"}


def test_a_file_that_another_made_in_between_stays(machine: Machine, results: Path) -> None:
    def meanwhile() -> Iterator[bytes]:
        yield b"ours"
        put(results / "a.json", "theirs")

    assert isinstance(refused(writer(machine, results), "a.json", chunks=meanwhile()), InvalidArgument)
    assert everything_below(results) == {str(results / "a.json"): b"theirs"}


def test_a_folder_that_became_one_in_between_is_a_disk_error(machine: Machine, results: Path) -> None:
    def meanwhile() -> Iterator[bytes]:
        yield b"ours"
        (results / "a.json").mkdir()

    assert isinstance(refused(writer(machine, results), "a.json", overwrite=True, chunks=meanwhile()), DiskError)
    assert os.listdir(results) == ["a.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no descriptor of a folder")
def test_a_folder_that_was_moved_removed_or_swapped_gets_nothing(machine: Machine, results: Path) -> None:
    access, aside = writer(machine, results), machine.outside / "aside"
    with access.prepare_output("a.json", ENDINGS) as output:
        results.rename(aside)
        results.symlink_to(machine.outside)
        with pytest.raises(DiskError, match="moved or removed"):
            output.write([b"x"])
    results.unlink()
    aside.rename(results)

    def meanwhile() -> Iterator[bytes]:
        yield b"x"
        results.rename(aside)

    assert isinstance(refused(access, "a.json", chunks=meanwhile()), DiskError)
    assert os.listdir(aside) == []
    aside.rename(results)
    with access.prepare_output("a.json", ENDINGS) as output:
        results.rmdir()
        with pytest.raises(DiskError, match="moved or removed"):
            output.write([b"x"])
    assert os.listdir(machine.outside) == ["secret.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="renames folders in use")
def test_swapping_the_folder_during_the_call_never_writes_outside(machine: Machine, results: Path) -> None:
    folder, aside = results / "in", results / "aside"
    folder.mkdir()
    stop = threading.Event()

    def attack() -> None:
        while not stop.is_set():
            os.rename(folder, aside)
            folder.symlink_to(machine.outside)
            folder.unlink()
            os.rename(aside, folder)

    before = everything_below(machine.outside)
    access = writer(machine, results)
    attacker = threading.Thread(target=attack)
    attacker.start()
    written = refusals = 0
    try:
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline or not (written and refusals):
            assert time.monotonic() < deadline + 120
            try:
                write(access, folder / "a.json", b"x", overwrite=True)
                written += 1
            except OllamaMCPError:
                refusals += 1
    finally:
        stop.set()
        attacker.join()
    assert everything_below(machine.outside) == before
    assert set(os.listdir(folder)) <= {"a.json"}


_FULL = """
import resource, sys
from ollama_mcp.access import Access, ReadRules, RuntimeEnvironment, WriteRules
from ollama_mcp.errors import DiskError
from ollama_mcp.settings.access import ReadSettings, UrlSettings, WriteSettings

folder = sys.argv[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rules = ReadRules(ReadSettings(), RuntimeEnvironment(home=folder, working_folder=folder))
access = Access(rules, UrlSettings(), write_rules=WriteRules(WriteSettings(folders=[folder])))
with access.prepare_output("a.json", [".json"], overwrite=True) as output:
    try:
        output.write(b"x" * 1000 for _ in range(int(sys.argv[2])))
    except DiskError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("kilobytes", [101, 5_000])
def test_a_full_disk_is_a_disk_error_and_the_old_file_stays(results: Path, kilobytes: int) -> None:
    path = put(results / "a.json", "old")
    command = [sys.executable, "-c", _FULL, str(results), str(kilobytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=True)
    assert "could not be written: File too large" in done.stdout
    assert everything_below(results) == {str(path): b"old"}


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="rights of POSIX")
def test_a_folder_without_rights_is_a_disk_error_before_any_work(
    machine: Machine, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.chmod(0o500)
    if os.getuid() == 0:
        # Root may write everywhere: as on a disk that is mounted for reading only.
        def refuse(*_arguments: object, **_more: object) -> bool:
            return False

        monkeypatch.setattr(os, "access", refuse)
    with pytest.raises(DiskError, match="cannot be written to"):
        writer(machine, results).prepare_output("a.json", ENDINGS)
    results.chmod(0o700)


def _without_links(monkeypatch: pytest.MonkeyPatch, code: int = errno.EPERM) -> None:
    def refuse(*_arguments: object, **_more: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)


def test_on_a_disk_without_hard_links_files_are_written_and_none_replaced(
    machine: Machine, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_links(monkeypatch)
    path = write(writer(machine, results), "a.json", b"new")
    assert everything_below(results) == {str(path): b"new"}

    def meanwhile() -> Iterator[bytes]:
        yield b"ours"
        put(results / "b.json", "theirs")

    assert isinstance(refused(writer(machine, results), "b.json", chunks=meanwhile()), InvalidArgument)
    assert (results / "b.json").read_text(encoding="utf-8") == "theirs"
    assert len(os.listdir(results)) == 2


def test_a_disk_that_fails_at_the_last_step_leaves_nothing(
    machine: Machine, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_more: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        _without_links(patched, errno.EIO)
        assert "Input/output" in refused(writer(machine, results), "a.json").message
    with monkeypatch.context() as patched:
        _without_links(patched)
        patched.setattr(os, "replace", refuse)
        assert "Input/output" in refused(writer(machine, results), "a.json").message
    assert everything_below(results) == {}


def test_without_descriptors_of_folders_the_rules_are_the_same(
    machine: Machine, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on Windows, where names have to serve.
    monkeypatch.setattr(output_module, "_HAS_DIR_FD", False)
    access = writer(machine, results)
    path = write(access, "a.json", b"one")
    assert isinstance(refused(access, "a.json"), InvalidArgument)
    write(access, "a.json", b"two", overwrite=True)
    assert everything_below(results) == {str(path): b"two"}
    (results / "link").symlink_to(machine.outside)
    assert isinstance(refused(access, "link/a.json"), NotAllowed)
    assert isinstance(refused(access, "absent/a.json"), InvalidArgument)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_descriptors_are_closed_whatever_happens(machine: Machine, results: Path) -> None:
    put(results / "taken.json")
    access = writer(machine, results)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(10):
        write(access, f"{number}.json", b"x")
        refused(access, "taken.json")
        refused(access, ".hidden.json")
        refused(access, "absent/a.json")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux where a descriptor lies")
def test_a_folder_whose_place_is_not_told_is_not_written_to(
    machine: Machine, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(descriptor: int) -> str:
        path = path_of_descriptor(descriptor)
        if path == str(results):
            raise OSError("no such facility")
        return path

    monkeypatch.setattr(output_module, "path_of_descriptor", silent)
    assert isinstance(refused(writer(machine, results), "a.json"), DiskError)


def test_our_own_folder_that_cannot_be_made_is_a_disk_error(machine: Machine) -> None:
    for child in (machine.home / "Pictures" / "cat.png", machine.home / "Pictures", machine.home):
        child.unlink() if child.is_file() else child.rmdir()
    assert isinstance(refused(writer(machine), "a.json"), DiskError)
