"""Why a run was stopped, as its home tells it: the worker's error, whatever version the worker is of."""

from __future__ import annotations

import json

import pytest

from ollama_mcp.errors import DiskError, InternalError, ModelNotFound, OllamaMCPError, RunnerFailed, TooLong
from ollama_mcp.fleet.ranges import error_of, reason_of


@pytest.mark.parametrize("kind", [DiskError, TooLong, InternalError, ModelNotFound, RunnerFailed])
def test_an_error_is_of_its_class_again(kind: type[OllamaMCPError]) -> None:
    found = error_of(reason_of(kind("It failed.", next_step="Do this.")))
    assert (type(found), found.message, found.next_step) == (kind, "It failed.", "Do this.")


def test_one_that_is_unknown_here_is_told_as_it_is() -> None:
    for name in ("OfALaterVersion", "OllamaMCPError", "RangeLost"):
        found = error_of(json.dumps({"class": name, "message": "It failed.", "next_step": "Do this."}))
        assert (type(found), found.message, found.next_step) == (InternalError, "It failed.", "Do this.")


def test_without_a_reason_it_is_told_that_it_was_stopped() -> None:
    assert error_of(None).message == "The run was stopped."
