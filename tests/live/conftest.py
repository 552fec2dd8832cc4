"""The Ollama of the live tests: the one that `--ollama` names, otherwise the simulator in each recorded generation."""

from collections.abc import AsyncGenerator

import pytest

from ollama_mcp.simulator import Simulator

GENERATIONS = ("0.5.7", "0.17.7", "0.33.0")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "ollama" not in metafunc.fixturenames:
        return
    url = metafunc.config.getoption("--ollama")
    params = [pytest.param(url, marks=pytest.mark.live)] if url else list(GENERATIONS)
    metafunc.parametrize("ollama", params, indirect=True)


@pytest.fixture
async def ollama(request: pytest.FixtureRequest) -> AsyncGenerator[str]:
    """The address of an Ollama, real or simulated."""
    if request.param.startswith("http"):
        yield request.param
        return
    async with Simulator(version=request.param) as simulator:
        yield simulator.url
