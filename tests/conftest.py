import gc
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpcore2
import httpx
import platformdirs
import pytest
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator
from jsonschema_rs import validator_for

from ollama_mcp.simulator import Simulator
from ollama_mcp.simulator.scheduler import Latency

# A busy machine makes examples slowly, which says nothing about the code; and a run is to be the same each time.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# httpcore tries to import this with each lock that it makes, and Python looks through all folders every time.
if find_spec("sniffio") is None:
    _modules: dict[str, Any] = sys.modules
    _modules["sniffio"] = None

# A shell starts what runs in the background without Ctrl-C, and the servers of tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ollama", metavar="URL", help="run the live suite on this Ollama: pytest -m live --ollama URL")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing that the collection makes is garbage, and looking for some takes a good part of its time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What the collection made stays to the end: no later collection of garbage looks at it again."""
    gc.collect()
    gc.freeze()
    # What a test makes is gone with it but for cycles, so that looking for these so often costs more than it frees.
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def _user_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What servers keep between calls is kept apart from the user's own, in processes that tests start too."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    # What tests install comes out of the user's caches as ever.
    for tool in ("pip", "uv"):
        os.environ.setdefault(f"{tool.upper()}_CACHE_DIR", str(platformdirs.user_cache_path(tool)))
    # No folder can be made there: a test that wants kept answers has a home of its own.
    os.environ["XDG_CACHE_HOME"] = os.devnull


@pytest.fixture(scope="session", autouse=True)
def _schemas_are_checked_once() -> None:
    """The SDK's client checks the output schemas of a server anew in each session, for longer than most tests take."""
    check = Draft202012Validator.check_schema
    valid: set[str] = set()

    def check_once(schema: Any, *arguments: Any, **options: Any) -> None:
        known = json.dumps([schema, *arguments, options], sort_keys=True, default=repr)
        if known not in valid:
            check(schema, *arguments, **options)
            valid.add(known)

    Draft202012Validator.check_schema = check_once


@pytest.fixture(scope="session", autouse=True)
def _results_are_checked_quickly() -> None:
    """What the SDK's client checks of results takes it longer than the calls; only what is wrong needs its words."""
    checker: Any = Draft202012Validator
    find = checker.iter_errors
    quick: dict[str, Any] = {}

    def find_errors(validator: Any, instance: Any, *arguments: Any) -> Iterator[Any]:
        known = json.dumps(validator.schema, sort_keys=True, default=repr)
        if known not in quick:
            quick[known] = validator_for(validator.schema)
        return iter(()) if quick[known].is_valid(instance) else find(validator, instance, *arguments)

    checker.iter_errors = find_errors


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Generator[None]:
    """Each HTTP client reads all certificates of the system, also for plain HTTP: half the time of many tests."""

    def read_once(make: Callable[..., Any]) -> Callable[..., Any]:
        contexts: dict[str, Any] = {}

        def context(*arguments: Any, **options: Any) -> Any:
            paths = [os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")]
            known = repr((arguments, sorted(options.items()), paths))
            # A context that the test made itself is its own.
            if any(isinstance(value, ssl.SSLContext) for value in (*arguments, *options.values())):
                return make(*arguments, **options)
            return contexts.get(known) or contexts.setdefault(known, make(*arguments, **options))

        return context

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", read_once(httpcore2.default_ssl_context))
        patch.setattr("httpx._transports.default.create_ssl_context", read_once(httpx.create_ssl_context))
        yield


@pytest.fixture
def quick_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users that answer forms at once, as none can: no answer counts as too soon for one."""
    monkeypatch.setattr("ollama_mcp.server.elicitation.HOST_SECONDS", 0.0)


def _open_files() -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for name in os.listdir("/dev/fd"):
        # The folder's own descriptor is closed again by now.
        with suppress(OSError):
            found.add((name, os.fstat(int(name)).st_ino))
    return found


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Generator[None]:
    """Finds sockets and files that a test leaves open: collected here, they warn in this test, not in a later one."""
    before = _open_files()
    yield
    if _open_files() - before:
        gc.collect()


@pytest.fixture
async def simulator() -> AsyncGenerator[Simulator]:
    """A simulated Ollama of the newest documented generation."""
    async with Simulator(version="latest") as simulator:
        yield simulator


@pytest.fixture
def quick_pulls(simulator: Simulator) -> None:
    """The simulated Ollama pulls gigabytes in a fraction of a second."""
    simulator.machine.latency = Latency(transfer=2e10)


@pytest.fixture
def tiny_chat() -> bytes:
    """A tiny GGUF chat model that real servers take."""
    return (Path(__file__).parent / "fixtures" / "tiny-chat.gguf").read_bytes()
