"""What travels with a run to its workers."""

from __future__ import annotations

from ollama_mcp import __version__
from ollama_mcp.fleet.ranges import RunTask
from ollama_mcp.settings import Settings
from ollama_mcp.work.batch.spec import BatchSpec

GIVEN = {
    "defaults": {"options": {"seed": 1}, "keep_alive": "5m"},
    "limits": {"num_ctx": 4096, "prompt_bytes": 2_000, "questions": 3, "embed_chunk": 5},
    "policy": {"num_ctx": 8192, "num_predict": 16},
}


def test_a_worker_does_a_run_with_what_its_server_decides_and_the_rest_of_its_own() -> None:
    task = RunTask(BatchSpec(input=(), prompt="Say {text}"), "digest", ("text",), True, False, 3, GIVEN, "ann", True)
    text = task.encode()
    assert RunTask.version_of(text) == __version__
    read = RunTask.decode(text)
    assert read.encode() == text
    own = Settings.model_validate(
        {"work": {"parallel": 7}, "limits": {"num_ctx": 512, "in_flight": 9}, "policy": {"cloud_batch": "allow"}}
    )
    used = read.settings_from(own)
    for section, values in GIVEN.items():
        assert getattr(used, section).model_dump(include=set(values)) == values
    assert (used.work, used.limits.in_flight, used.policy.cloud_batch) == (own.work, 9, "allow")


def test_a_run_of_an_older_server_has_no_version() -> None:
    assert RunTask.version_of("{}") == ""
