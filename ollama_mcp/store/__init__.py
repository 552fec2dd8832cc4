"""Interim stand-in, so that the rest imports; the store's author replaces this file."""

from __future__ import annotations

from ollama_mcp.settings import Settings


class _Models:
    async def token_ratio(self, digest: str) -> float | None:
        return None

    async def learn(self, digest: str, estimated: int, real: int) -> None: ...


class _Usage:
    def count(
        self, model: str, *, cloud: bool, prompt_tokens: int, tokens: int, file_tokens: int, seconds: float
    ) -> None: ...


class Store:
    def __init__(self) -> None:
        self.models, self.usage = _Models(), _Usage()

    @classmethod
    def of(cls, settings: Settings) -> Store:
        return cls()

    async def aclose(self) -> None: ...
