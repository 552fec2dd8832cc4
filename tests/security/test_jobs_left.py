"""What a job that another server left may be gone on with unasked: the rights of its token as they are now."""

from __future__ import annotations

from pathlib import Path

from ollama_mcp.server.auth.authenticator import TokenAuthenticator
from ollama_mcp.server.auth.token_file import add_token, revoke_token
from ollama_mcp.server.job_watch import owner_now, rights_of
from ollama_mcp.store.jobs import StoredJob


async def begun(file: Path) -> StoredJob:
    """A job that somebody's token began."""
    secret = add_token(file, "ann", ["use", "files"])
    principal = await TokenAuthenticator(file).authenticate(secret)
    request = {"arguments": {}, "by": rights_of(principal)}
    return StoredJob("job", "ollama_batch", "m", "token ann", request, "digest", True)


async def test_a_token_that_counts_and_may_as_much_lends_its_rights(tmp_path: Path) -> None:
    job = await begun(file := tmp_path / "tokens")
    file.write_text(file.read_text().replace("use,files", "use,manage,files"))
    found = await owner_now(job, TokenAuthenticator(file))
    assert found is not None and (found.name, found.may("manage")) == ("ann", True)
    # What is kept in the store is not what the file has.
    assert job.request is not None and job.request["by"]["proof"] not in file.read_text()


async def test_one_that_was_revoked_or_narrowed_does_not(tmp_path: Path) -> None:
    job = await begun(file := tmp_path / "tokens")
    whole = file.read_text()
    file.write_text(whole.replace("use,files", "use"))
    assert await owner_now(job, TokenAuthenticator(file)) is None
    file.write_text(whole)
    known = TokenAuthenticator(file)
    assert await owner_now(job, known) is not None
    revoke_token(file, "ann")
    # At once, also by a server that has just looked.
    assert await owner_now(job, known) is None
    # Another one of the same name is another's.
    add_token(file, "ann", ["use", "files"])
    assert await owner_now(job, TokenAuthenticator(file)) is None
    assert await owner_now(job, None) is None


async def test_a_job_without_a_token_has_none(tmp_path: Path) -> None:
    await begun(file := tmp_path / "tokens")
    job = StoredJob("job", "ollama_batch", "m", "local", {"arguments": {}, "by": None}, "digest", True)
    assert await owner_now(job, TokenAuthenticator(file)) is None
