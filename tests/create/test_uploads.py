"""Uploads: hashed, asked for, sent in pieces; what changes, breaks off or is cancelled on the way."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from bench.upload import write_model
from bench.upload_sink import UploadSink
from ollama_mcp.simulator import Fault, Simulator
from ollama_mcp.work import uploads as uploads_module
from tests.contract.gguf_files import language_model
from tests.create.support import ProgressLog, allow, create, llama_folder, safetensors, sent, uploads
from tests.support import connected, error, until

MB = 1 << 20
SIZE = 64 * MB


@pytest.fixture
async def sink() -> AsyncGenerator[UploadSink]:
    async with UploadSink() as sink:
        yield sink


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A GGUF file of 64 MB and its header."""
    path = tmp_path / "large.gguf"
    write_model(path, SIZE)
    return path


@pytest.fixture
def digest(large: Path) -> str:
    """The digest of the large file."""
    return f"sha256:{hashlib.sha256(large.read_bytes()).hexdigest()}"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries are short in tests."""
    monkeypatch.setattr(uploads_module, "PAUSE_SECONDS", 0.01)


@pytest.mark.slow
async def test_bytes_are_counted_over_hashing_and_sending(sink: UploadSink, large: Path, digest: str):
    progress_log = ProgressLog()
    sink.pause = 0.02
    async with connected(sink.url, read=allow(large.parent)) as client:
        made = await client.call_tool(
            "ollama_create_model", {"model": "mine", "path": str(large)}, progress_callback=progress_log
        )
    assert not made.is_error, made
    assert sink.digests == {digest}
    assert progress_log.messages[0] == "reading large.gguf"
    assert any(
        said.startswith("uploading large.gguf: ") and said.endswith(" MB of 67.1 MB") for said in progress_log.messages
    )
    totals = {total for _, total, _ in progress_log.seen if total}
    assert totals and all(2 * SIZE <= total < 2 * SIZE + 500 for total in totals)
    progress_log.check()


async def test_several_files_go_two_at_a_time_and_count_as_one(tmp_path: Path, sink: UploadSink):
    folder = llama_folder(tmp_path / "llama")
    for number in range(5):
        weights = {"w": {"dtype": "U8", "shape": [MB + number], "data_offsets": [0, MB + number]}}
        (folder / f"model-{number}.safetensors").write_bytes(safetensors(weights, os.urandom(MB + number)))
    progress_log = ProgressLog()
    sink.pause = 0.05
    async with connected(sink.url, read=allow(tmp_path)) as client:
        made = await client.call_tool(
            "ollama_create_model", {"model": "mine", "path": str(folder)}, progress_callback=progress_log
        )
    assert not made.is_error, made
    assert len(sink.digests) == 9
    assert sink.most_at_once == 2
    assert any("(9 files)" in said for said in progress_log.messages)
    progress_log.check()


async def test_an_upload_that_was_cut_is_sent_again(sink: UploadSink, large: Path):
    sink.cut_after = 25 * MB
    async with connected(sink.url, read=allow(large.parent)) as client:
        made = await create(client, path=str(large))
    assert not made.is_error, made
    assert sink.received >= SIZE + 25 * MB
    assert len(sink.digests) == 1


async def test_a_host_that_never_takes_it_is_told_after_three_tries(simulator: Simulator, tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(language_model())
    for place in (2, 4, 6):
        simulator.faults.add(Fault("refuse", path="/api/blobs/*", nth=place))
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        error(await create(client, path=f"{tmp_path}/x.gguf"), "interrupted")
        assert len(uploads(simulator)) == 3
        assert not sent(simulator, "/api/create")
        simulator.faults.clear()
        assert not (await create(client, path=f"{tmp_path}/x.gguf")).is_error


async def test_a_cancelled_upload_closes_at_once_and_the_next_try_sends_it(sink: UploadSink, large: Path):
    progress_log = ProgressLog()
    sink.pause = 0.05
    async with connected(sink.url, read=allow(large.parent)) as client:
        arguments = {"model": "mine", "path": str(large)}
        call = asyncio.create_task(client.call_tool("ollama_create_model", arguments, progress_callback=progress_log))
        await progress_log.until(lambda said: said.startswith("uploading "))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: sink.broken)
        assert sink.received < SIZE
        assert not sink.digests
        sink.pause = 0.0
        assert not (await create(client, path=str(large))).is_error
        received = sink.received
        assert not (await create(client, model="other", path=str(large))).is_error
    assert sink.received == received, "the host had it"


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _cut(path: Path) -> None:
    os.truncate(path, 20 * MB)


def _touch(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize("change", [_grow, _cut, _touch, Path.unlink])
async def test_a_file_that_changes_while_it_is_sent_makes_no_model(
    sink: UploadSink, large: Path, change: Callable[[Path], None]
):
    progress_log = ProgressLog()
    sink.pause = 0.05
    async with connected(sink.url, read=allow(large.parent)) as client:
        arguments = {"model": "mine", "path": str(large)}
        call = asyncio.create_task(client.call_tool("ollama_create_model", arguments, progress_callback=progress_log))
        await progress_log.until(lambda said: said.startswith("uploading "))
        change(large)
        words = error(await call, "invalid_argument")
    assert "large.gguf" in words and "changed or was removed while it was read" in words
    assert not sink.digests


async def test_a_file_that_changes_before_it_is_hashed_is_noticed(sink: UploadSink, tmp_path: Path):
    """The second file of two waits while the first two are sent, and changes meanwhile."""
    folder = llama_folder(tmp_path / "llama", tokenizer__model=None, tokenizer__json=None)
    for number in range(3):
        weights = {"w": {"dtype": "U8", "shape": [4 * MB + number], "data_offsets": [0, 4 * MB + number]}}
        (folder / f"model-{number}.safetensors").write_bytes(safetensors(weights, os.urandom(4 * MB + number)))
    progress_log = ProgressLog()
    sink.pause = 0.1
    async with connected(sink.url, read=allow(tmp_path)) as client:
        arguments = {"model": "mine", "path": str(folder)}
        call = asyncio.create_task(client.call_tool("ollama_create_model", arguments, progress_callback=progress_log))
        # Progress is told now and then: of which of the two is chance.
        await progress_log.until(lambda said: said.startswith(("uploading model-0", "uploading model-1")))
        (folder / "model.safetensors").write_bytes(safetensors(data=bytes(15) + b"x"))
        words = error(await call, "invalid_argument")
    assert "model.safetensors" in words and "changed or was removed while it was read" in words


async def test_a_digest_that_the_host_does_not_find_in_the_bytes_means_a_changed_file(
    simulator: Simulator, tmp_path: Path
):
    (tmp_path / "x.gguf").write_bytes(language_model())
    said = 'digest mismatch, expected "sha256:a", got "sha256:b"'
    simulator.faults.add(Fault("status", path="/api/blobs/*", nth=2, status=400, text=said))
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        assert "changed or was removed" in error(await create(client, path=f"{tmp_path}/x.gguf"), "invalid_argument")


@pytest.mark.parametrize("version", ["0.5.7", "0.17.7", "0.33.0", "latest"])
async def test_a_blob_that_is_pruned_before_its_use_is_sent_again(version: str, tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(language_model())
    path = "/usr/share/ollama/.ollama/models/blobs/sha256-" + "0" * 64
    async with Simulator(version=version) as simulator, connected(simulator.url, read=allow(tmp_path)) as client:
        said = f"open {path}: no such file or directory"
        simulator.faults.add(Fault("error_line", path="/api/create", nth=1, text=said))
        assert not (await create(client, path=f"{tmp_path}/x.gguf")).is_error
        simulator.faults.clear()
        simulator.faults.add(Fault("error_line", path="/api/create", text=said))
        words = error(await create(client, path=f"{tmp_path}/x.gguf"), "invalid_argument")
        digests = {"x.gguf": uploads(simulator)[0]}
        error(await create(client, files=digests), "invalid_argument")
    assert "does not have one of the files" in words
    assert len(sent(simulator, "/api/create")) == 5


async def test_a_refusal_of_the_bytes_is_told_as_it_is(simulator: Simulator, tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(language_model())
    simulator.faults.add(Fault("status", path="/api/blobs/*", nth=2, status=400, text="invalid digest format"))
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        assert "invalid digest format" in error(await create(client, path=f"{tmp_path}/x.gguf"), "invalid_argument")


async def test_a_file_that_is_gone_is_named(sink: UploadSink, tmp_path: Path):
    async with connected(sink.url, read=allow(tmp_path)) as client:
        assert "x.gguf" in error(await create(client, path=f"{tmp_path}/x.gguf"), "invalid_argument")


async def test_a_file_that_is_rewritten_in_place_with_its_old_times_is_not_sent_whole(
    simulator: Simulator, tmp_path: Path
):
    path = tmp_path / "x.gguf"
    path.write_bytes(language_model())
    before = path.stat()
    simulator.faults.add(Fault("delay", path="/api/blobs/*", nth=1, seconds=0.5))
    async with connected(simulator.url, read=allow(tmp_path)) as client:
        creating = asyncio.create_task(create(client, path=str(path)))
        # The host was asked whether it has the file: it is hashed, and not sent yet.
        await until(lambda: any(seen.path.startswith("/api/blobs/") for seen in simulator.requests))
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\xff")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert "changed or was removed while it was read" in error(await creating, "invalid_argument")
    assert not sent(simulator, "/api/create")
