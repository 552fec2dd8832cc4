"""ollama-herd, a router for several Ollamas: from the package index, in an environment in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from ollama_mcp.simulator import Simulator
from tests.faults.proxy import PortKeeper
from tests.installed import CACHE, unavailable
from tests.routers.program import running

_REQUIREMENT = "ollama-herd==0.11.4"
# Nothing leaves this machine, and nothing is done that nobody asked for.
_SETTINGS = {
    "FLEET_TELEMETRY": "false",
    "FLEET_AUTO_PULL": "false",
    "FLEET_DISABLE_MODEL_PRELOADER": "true",
    "FLEET_FLEET_INTELLIGENCE": "false",
    "FLEET_VRAM_FALLBACK": "false",
    "FLEET_ENV_FILE": os.devnull,
    # The tests' nodes report once.
    "FLEET_HEARTBEAT_TIMEOUT": "3600",
    "FLEET_HEARTBEAT_OFFLINE": "3600",
}


@cache
def _program() -> str:
    """The path of the router; skips the test where it cannot be installed."""
    folder = CACHE / f"{_REQUIREMENT}-{sys.version_info.major}.{sys.version_info.minor}"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, timeout=120)
        install = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", _REQUIREMENT]
        done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=500)
        if done.returncode:
            unavailable(f"{_REQUIREMENT} could not be installed: {done.stderr[-300:]}")
        (folder / "complete").touch()
    return str(folder / "bin/herd")


@contextmanager
def herd(folder: Path) -> Generator[str]:
    """Run the router without any node; yields its address."""
    keeper = PortKeeper()
    keeper.close()
    command = [_program(), "--host", "127.0.0.1", "--port", str(keeper.port), "--log-level", "WARNING"]
    env = {**os.environ, **_SETTINGS, "HOME": str(folder), "FLEET_DATA_DIR": str(folder / "data")}
    with running(command, keeper.port, folder / "herd.log", env):
        yield keeper.url


async def add_node(router: str, name: str, simulator: Simulator) -> None:
    """Report a simulated Ollama to the router, as the agent on its machine does."""
    async with httpx.AsyncClient() as client:
        installed = (await client.get(f"{simulator.url}/api/tags")).json()["models"]
        loaded = (await client.get(f"{simulator.url}/api/ps")).json()["models"]
        report: dict[str, Any] = {
            "node_id": name,
            "cpu": {"cores_physical": 8, "utilization_pct": 1.0},
            "memory": {"total_gb": 64.0, "used_gb": 1.0, "available_gb": 63.0},
            "ollama": {
                "models_available": [model["name"] for model in installed],
                "models_available_sizes": {model["name"]: model["size"] / 1e9 for model in installed},
                "models_available_meta": {model["name"]: _metadata(model) for model in installed},
                "models_loaded": [{"name": model["name"], "size_gb": model["size"] / 2**30} for model in loaded],
                "num_parallel": 4,
            },
            "ollama_host": simulator.url,
        }
        (await client.post(f"{router}/heartbeat", json=report)).raise_for_status()


def _metadata(model: dict[str, Any]) -> dict[str, Any]:
    details = {name: value for name, value in model["details"].items() if value}
    known = {name: model[name] for name in ("modified_at", "digest", "capabilities") if model.get(name)}
    return {**details, **known}
