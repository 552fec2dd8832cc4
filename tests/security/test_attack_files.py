"""Attacks on files, over stdio and HTTP: what lies on the user's disk is neither read nor written."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.contract.gguf_files import language_model
from tests.security.target import CANARY, Target, put

SEES = "gemma3:4b"
REFUSED = "not_allowed"


async def _is_not_read(target: Target, path: str, kind: str = REFUSED) -> None:
    """Name a path to everything that reads files."""
    kind = REFUSED if target.over_http else kind
    await target.refused(kind, "ollama_generate", model=SEES, prompt="Hi", images=[path])
    await target.refused(kind, "ollama_chat", model=SEES, prompt="Hi", files=[path])
    await target.refused(kind, "ollama_batch", model=SEES, prompt="Hi", input=path)


async def test_paths_outside_of_the_folders(target: Target) -> None:
    """A01, and A14 over HTTP."""
    for path in ("/etc/hostname", "~/.ssh/id_ed25519", str(target.outside / "secret.png")):
        await _is_not_read(target, path)
    assert not target.sent


async def test_spellings_of_a_path_outside(target: Target) -> None:
    """A02."""
    home, outside = target.home, target.outside
    for path in (
        f"{home}/../outside/secret.png",
        f"{home}/results/../../outside/secret.png",
        f"{home}//..//outside//secret.png",
        f"{home}/./.././outside/secret.png",
        "~/../outside/secret.png",
        f"file://{outside}/secret.png",
        f"file://localhost{outside}/secret.png",
        f"file://{home}/..%2foutside%2fsecret.png",
        f"file://{home}/%2e%2e/outside/secret.png",
        f"FILE://{home}/../outside/secret.png",
        f"file:{outside}/secret.png",
        f" {outside}/secret.png\n",
    ):
        await _is_not_read(target, path)
    assert not target.sent


async def test_links_that_lead_out(target: Target) -> None:
    """A03: a link, a link to it, and a link in a parent part; the refusal does not tell where they lead."""
    for name in ("link.png", "again.png", "elsewhere/secret.png"):
        await _is_not_read(target, str(target.home / name))
        said = await target.refused(REFUSED, "ollama_generate", model=SEES, prompt="Hi", images=[f"~/{name}"])
        assert target.over_http or "elsewhere" in name or str(target.outside / "secret") not in said
    assert not target.sent


async def test_hidden_files_and_folders_of_programs(target: Target) -> None:
    """A05."""
    for name in (".env", ".ssh/id_ed25519", ".config/x/a.png", "Library/Keychains/a.png", "snap/x/a.png"):
        await _is_not_read(target, f"~/{name}")
    assert not target.sent


@contextmanager
def _socket_at(path: Path) -> Generator[None]:
    # Its address may have 107 bytes only.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
            yield
    finally:
        os.close(folder)
        path.unlink(missing_ok=True)


async def test_what_is_no_ordinary_file(target: Target) -> None:
    """A06: nothing hangs, whatever would have to be waited for."""
    kinds = "not_allowed|invalid_argument|disk"
    for path in ("/dev/zero", "/dev/stdin", "/proc/self/environ", "/proc/self/fd/0", "/proc/self/root/etc/hostname"):
        await _is_not_read(target, path, kinds)
    with _socket_at(target.home / "socket.png"):
        for name in ("pipe.png", "socket.png", "results"):
            await target.refused(kinds, "ollama_generate", model=SEES, prompt="Hi", images=[f"~/{name}"])
    assert not target.sent


async def test_a_key_that_is_named_like_an_image(target: Target) -> None:
    """A07: what it holds is not quoted."""
    kinds = "not_allowed|invalid_argument"
    await target.refused(kinds, "ollama_generate", model=SEES, prompt="Hi", images=["~/key.png"])
    assert not target.sent


async def test_modelfiles_that_hold_or_name_secrets(target: Target) -> None:
    """A08 and A09: an error names the line only, and no upload begins."""
    kinds = "not_allowed|invalid_argument"
    models = target.home / "models"
    await target.refused(kinds, "ollama_create_model", model="x", modelfile=str(models / "note.txt"))
    for number, line in enumerate(
        (f"FROM {target.outside}/secret.txt", "FROM ~/.ssh/id_ed25519", "FROM llama3.2:3b\nADAPTER /etc/passwd")
    ):
        modelfile = put(models / f"Modelfile{number}", f"{line}\nSYSTEM x\n")
        await target.refused(kinds, "ollama_create_model", model="x", modelfile=str(modelfile))
        await target.refused(kinds, "ollama_create_model", model="x", modelfile=f"{line}\nSYSTEM x\n")
    assert not target.sent


async def test_files_that_are_no_models_are_not_uploaded(target: Target) -> None:
    """A10 and A13: a safe in an allowed folder and elsewhere, and a file of a terabyte that is none."""
    kinds = "not_allowed|invalid_argument"
    sparse = put(target.home / "models" / "sparse.gguf", language_model())
    os.truncate(sparse, 1 << 40)
    for name in ("models/safe.gguf", "models/sparse.gguf", "models/note.txt", "Documents/safe.kdbx"):
        await target.refused(kinds, "ollama_push_blob", path=f"~/{name}")
        await target.refused(kinds, "ollama_create_model", model="x", path=str(target.home / name))
    assert not target.sent


async def test_results_over_what_programs_obey(target: Target) -> None:
    """A11 and A12: nothing is written, replaced or left behind."""
    home = target.home
    before = {path: path.lstat().st_mtime_ns for path in home.parent.rglob("*") if path.is_file()}
    kinds = "not_allowed|invalid_argument|disk"
    for path in (
        *("models/note.txt", "tools/mine.py", "tools/a.json", "prompts/a.md", ".config/a.json", "results/AGENTS.md"),
        *("results/../../outside/a.json", "elsewhere/a.json", "no/such/a.json", "results/a.exe", "results/a\0.json"),
        *("results/a\nb.json", f"results/{'x' * 300}.json", "results/CON.json", "results/a.txt:b.json", "/tmp/a.json"),
        *("/etc/a.json", "~/.ssh/a.txt"),
    ):
        given: dict[str, Any] = {"model": "llama3.2:3b", "prompt": "Hi", "input": ["a"]}
        output = path if path.startswith(("/", "~")) else str(home / path)
        await target.refused(kinds, "ollama_batch", **given, output=output)
    assert not target.sent
    assert {path: path.lstat().st_mtime_ns for path in home.parent.rglob("*") if path.is_file()} == before
    assert (home / "models" / "note.txt").read_text() == CANARY


async def test_shares_and_devices_of_windows(target: Target) -> None:
    """A15: refused by their text, on every system: opening one would send the user's credentials."""
    kinds = "not_allowed|invalid_argument"
    for path in ("\\\\host\\share\\a.png", "//host/share/a.png", "file://host/a.png", "C:\\a.png:ads", "NUL.png"):
        await _is_not_read(target, path, kinds)
    assert not target.sent
