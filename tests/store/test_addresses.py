"""Addresses of a database that are none, or wrong: what is said of them, and that nothing secret of them is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ollama_mcp.errors import DiskError, InvalidArgument
from tests.store.support import begun, opened


async def test_an_address_that_is_none_is_told_without_what_is_secret_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "s.sqlite3", url="postgresql://ada:SECRET@h/d?nonsense=SECRET") as store:
        with pytest.raises(InvalidArgument, match="not the address of a PostgreSQL database") as caught:
            await begun(store)
        assert await store.embeddings.get("m:0", [b"text"]) == {}
    assert "SECRET" not in f"{caught.value}{caplog.text}" and "store.url" in caplog.text


@pytest.mark.parametrize("sign", "/@?#:")
async def test_nothing_of_a_password_that_was_not_escaped_is_shown(sign: str, tmp_path: Path) -> None:
    async with opened(tmp_path / "s.sqlite3", url=f"postgresql://lovelace:SEC{sign}RET@127.0.0.1:9/d") as store:
        with pytest.raises((InvalidArgument, DiskError)) as caught:
            await begun(store)
    said = f"{caught.value}{caught.value.next_step}"
    assert "SEC" not in said and "RET" not in said and "lovelace" not in said
    assert "%40 for @" in said or "does not answer" in said


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:99999/d", "its address is wrong (connection is bad: invalid port number"),
        ("127.0.0.1/d?sslmode=foo", "its address is wrong (connection is bad: invalid sslmode value"),
        ("127.0.0.1:none/d", "is not the address of a PostgreSQL database"),
    ],
)
async def test_a_wrong_address_is_not_taken_for_a_server_that_is_down(address: str, said: str, tmp_path: Path) -> None:
    async with opened(tmp_path / "s.sqlite3", url=f"postgresql://{address}") as store:
        with pytest.raises((InvalidArgument, DiskError)) as caught:
            await begun(store)
    assert said in str(caught.value) and "does not answer" not in str(caught.value)
