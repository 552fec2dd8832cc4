"""A machine of its own for each test: a home with ordinary and private files, and folders outside it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ollama_mcp.access import ReadRules, RuntimeEnvironment
from ollama_mcp.settings.access import ReadSettings
from tests.access.fake_network import Site, answer, listening

CANARY = "CANARY-7f3a91"


@dataclass
class Machine:
    """Folders of one test; `environment` describes them as the running process would find them."""

    base: Path
    home: Path
    outside: Path
    temp: Path
    work: Path

    def environment(
        self,
        *,
        working_folder: Path | None = None,
        roots: tuple[str, ...] = (),
        over_http: bool = False,
        has_token: bool = False,
    ) -> RuntimeEnvironment:
        return RuntimeEnvironment(
            home=str(self.home),
            working_folder=str(working_folder or self.work),
            temp_folders=(str(self.temp),),
            roots=roots,
            over_http=over_http,
            has_token=has_token,
        )

    def rules(self, settings: ReadSettings | None = None) -> ReadRules:
        return ReadRules(settings or ReadSettings(), self.environment())


def put(path: Path, text: str = CANARY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path, tmp_path / "home", tmp_path / "outside", tmp_path / "temp", tmp_path / "work")
    for folder in (made.home, made.outside, made.temp, made.work):
        folder.mkdir()
    put(made.home / "Pictures" / "cat.png", "ok")
    put(made.outside / "secret.png")
    return made


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    async with listening({"/a.png": answer(b"pixels")}) as made:
        yield made
