"""Access tokens of an OAuth issuer: what is verified, how rarely its keys are fetched, and what clients are told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ollama_mcp.errors import InvalidArgument
from ollama_mcp.hosts.principal import limits_for
from ollama_mcp.server.auth import issuer_keys
from ollama_mcp.server.auth.oauth import JwtAuthenticator
from ollama_mcp.server.auth.opening import open_authenticator
from ollama_mcp.settings import Settings
from ollama_mcp.settings.auth import AuthSettings
from ollama_mcp.simulator import Simulator
from tests.support import served
from tests.transports.wire import Answer, HttpPeer, call, modern

RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
AUDIENCE = "https://gpu-box.example/mcp"
ABSENT = object()


def public_key(key: Any, **fields: Any) -> dict[str, Any]:
    """A public key as an issuer lists it."""
    algorithm: Any = jwt.get_algorithm_by_name("ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256")
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "use": "sig", **fields}


class Issuer:
    """An OAuth issuer on loopback, as far as a resource server sees one."""

    def __init__(self) -> None:
        self.keys: list[Any] = [public_key(RSA_KEY, kid="one"), public_key(EC_KEY, kid="two")]
        self.metadata: dict[str, Any] = {}
        self.asked: list[str] = []
        self.url = ""
        self.is_down = False
        self.padding = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request."""
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self.asked.append(path)
        if path == "/keys":
            body = json.dumps({"keys": self.keys, "padding": self.padding}).encode()
        elif path == "/.well-known/openid-configuration":
            body = json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.metadata}).encode()
        else:
            body = b""
        status = b"200 OK" if body and not self.is_down else b"503 Down"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body)
        writer.close()

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The claims of a good token, changed."""
        now = int(time.time())
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "scope": "use",
        }
        return {name: value for name, value in {**good, **changed}.items() if value is not ABSENT}

    def token(self, key: Any = RSA_KEY, algorithm: str = "RS256", headers: Any = None, **changed: Any) -> str:
        """A token, good but for what is changed."""
        return jwt.encode(self.claims(**changed), key, algorithm, {"kid": "one", **(headers or {})})


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer]:
    issuer = Issuer()
    async with await asyncio.start_server(issuer.serve, "127.0.0.1", 0) as server:
        issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield issuer


class Asking:
    """A client of a server that trusts the issuer."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, token: str, **headers: str) -> Answer:
        return await self.peer.post(modern(1, "tools/list"), "modern", Authorization=f"Bearer {token}", **headers)

    @property
    def peer(self) -> HttpPeer:
        port = urlsplit(self.url).port
        assert port
        return HttpPeer(port)


@asynccontextmanager
async def trusting(simulator: Simulator, issuer: Issuer, **auth: Any) -> AsyncGenerator[Asking]:
    given = {"auth": {"issuer": issuer.url, "audience": AUDIENCE, **auth}}
    settings = Settings.model_validate({**given, "transport": "http"})
    async with served(simulator.url, auth=open_authenticator(settings)) as url:
        yield Asking(url)


def unsigned(issuer: Issuer) -> str:
    return jwt.encode(issuer.claims(), "", "none", {"kid": "one"})


def signed_with_public_key(issuer: Issuer) -> str:
    """The attack on readers that take the public key for a shared secret."""
    pem = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    parts = [json.dumps(one).encode() for one in ({"alg": "HS256", "typ": "JWT", "kid": "one"}, issuer.claims())]
    message = b".".join(base64.urlsafe_b64encode(one).rstrip(b"=") for one in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(pem, message, hashlib.sha256)).rstrip(b"=")
    return (message + b"." + signature).decode()


def encoded(part: Any) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


async def test_good_tokens_are_let_in(simulator: Simulator, issuer: Issuer) -> None:
    async with trusting(simulator, issuer) as ask:
        now = int(time.time())
        assert (await ask(issuer.token())).status == 200
        assert (await ask(issuer.token(EC_KEY, "ES256", {"kid": "two"}))).status == 200
        assert (await ask(issuer.token(RSA_KEY, "PS256"))).status == 200
        assert (await ask(issuer.token(aud=["https://other.example", AUDIENCE]))).status == 200
        assert (await ask(issuer.token(headers={"typ": "at+jwt"}))).status == 200
        # Clocks differ a little.
        assert (await ask(issuer.token(exp=now - 30, nbf=now + 30, iat=now + 30))).status == 200
        assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_bad_tokens_are_unauthorized(
    simulator: Simulator, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    now = int(time.time())
    good = issuer.token()
    head, body, signature = good.split(".")
    bad = {
        "expired": issuer.token(exp=now - 120),
        "expired at zero": issuer.token(exp=0),
        "no exp": issuer.token(exp=ABSENT),
        "of the future": issuer.token(nbf=now + 600),
        "issued in the future": issuer.token(iat=now + 600),
        "wrong audience": issuer.token(aud="https://other.example"),
        "audience that begins alike": issuer.token(aud=AUDIENCE + "/x"),
        "no audience": issuer.token(aud=ABSENT),
        "wrong issuer": issuer.token(iss="https://evil.example"),
        "no issuer": issuer.token(iss=ABSENT),
        "no subject": issuer.token(sub=ABSENT),
        "empty subject": issuer.token(sub=""),
        "long subject": issuer.token(sub="x" * 256),
        "unsigned": unsigned(issuer),
        "signed with the public key": signed_with_public_key(issuer),
        "signed by a stranger": issuer.token(STRANGER),
        "key of another kind": issuer.token(EC_KEY, "ES256"),
        "crit": issuer.token(headers={"crit": ["exp"]}),
        "jku": issuer.token(STRANGER, headers={"jku": f"{issuer.url}/evil"}),
        "jwk": issuer.token(STRANGER, headers={"jwk": public_key(STRANGER)}),
        "x5u": issuer.token(headers={"x5u": f"{issuer.url}/evil"}),
        "signature cut": f"{head}.{body}.{signature[:-4]}",
        "signature left out": f"{head}.{body}.",
        "body of another": f"{head}.{issuer.token(scope='manage').split('.')[1]}.{signature}",
        "expiry that is no number": issuer.token(exp="soon"),
        "expiry beyond every number": issuer.token(exp=float("inf")),
        "audiences of others": issuer.token(aud=["https://other.example", ""]),
        "audience that is no text": issuer.token(aud=7),
        "issuer with a slash more": issuer.token(iss=issuer.url + "/"),
        "algorithm in lower case": f"{encoded({'alg': 'rs256', 'kid': 'one'})}.{body}.{signature}",
        "algorithm left out": f"{encoded({'kid': 'one'})}.{body}.{signature}",
        "header that is a list": f"{encoded(['RS256'])}.{body}.{signature}",
        "key that is a path": issuer.token(STRANGER, headers={"kid": "../../../dev/null"}),
        "nested": issuer.token(headers={"cty": "JWT"}, sub={"a": "b"}),
        "no JWT": "omcp_x",
        "deep": "e30." * 2_000,
        "own token": "x.y.z",
    }
    async with trusting(simulator, issuer) as ask:
        assert (await ask(good)).status == 200
        for what, token in bad.items():
            answer = await ask(token)
            assert (answer.status, what) == (401, what)
            header = answer.header("www-authenticate") or ""
            assert 'error="invalid_token", scope="read use", resource_metadata="https://gpu-box.example/.well' in header
            assert token not in answer.body.decode()
        assert not [path for path in issuer.asked if "evil" in path]
        signatures = [token.rpartition(".")[2] for token in bad.values()]
        assert not any(one in caplog.text for one in signatures if len(one) > 20)


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"scope": "use"}, 200),
        ({"scope": "openid read email"}, 200),
        ({"scope": ABSENT, "scp": ["manage"]}, 200),
        ({"scope": "read-all manage2 READ user"}, 403),
        ({"scope": "read,use"}, 403),
        ({"scope": ""}, 403),
        ({"scope": ABSENT}, 403),
        ({"scope": 7}, 403),
        ({"scope": "files"}, 403),
        ({"scope": "metrics"}, 403),
        ({"scope": {"read": True}}, 403),
    ],
)
async def test_scopes_are_whole_words(
    simulator: Simulator, issuer: Issuer, claims: dict[str, Any], status: int
) -> None:
    async with trusting(simulator, issuer) as ask:
        answer = await ask(issuer.token(**claims))
        assert answer.status == status
        if status == 403:
            assert 'error="insufficient_scope", scope="read use"' in (answer.header("www-authenticate") or "")


async def test_the_scopes_and_limits_of_a_subject_hold(simulator: Simulator, issuer: Issuer) -> None:
    given = {"issuer": issuer.url, "audience": AUDIENCE}
    settings = Settings.model_validate({"auth": given, "principals": {"ann": {"denied_models": ["llama3.2:3b"]}}})
    auth = JwtAuthenticator(settings.auth, partial(limits_for, settings))
    async with served(simulator.url, auth=auth) as url:
        ask = Asking(url)
        names = [tool["name"] for tool in (await ask(issuer.token())).messages[-1]["result"]["tools"]]
        assert "ollama_chat" in names and "ollama_delete_model" not in names
        chat = call(1, "ollama_chat", era="modern", model="llama3.2:3b", prompt="Hi")
        answer = await ask.peer.post(chat, "modern", Authorization=f"Bearer {issuer.token()}")
        assert "'ann' may not use the model" in answer.messages[-1]["result"]["content"][0]["text"]


async def test_invented_keys_lead_to_one_fetch(
    simulator: Simulator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trusting(simulator, issuer) as ask:
        invented = [issuer.token(STRANGER, headers={"kid": f"invented{number}"}) for number in range(50)]
        answers = await asyncio.gather(*map(ask, invented))
        assert {answer.status for answer in answers} == {401}
        assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
        # A key that is new counts once the cooldown is over.
        issuer.keys.append(public_key(STRANGER, kid="new"))
        token = issuer.token(STRANGER, headers={"kid": "new"})
        assert (await ask(token)).status == 401
        monkeypatch.setattr(issuer_keys, "_COOLDOWN_SECONDS", 0.0)
        assert (await ask(token)).status == 200


async def test_an_issuer_that_is_down_lets_nobody_new_in_and_keeps_who_is(
    simulator: Simulator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(issuer_keys, "_COOLDOWN_SECONDS", 0.0)
    issuer.is_down = True
    async with trusting(simulator, issuer) as ask:
        answer = await ask(issuer.token())
        assert (answer.status, answer.body) == (503, b"the keys of the issuer are not known")
        issuer.is_down = False
        assert (await ask(issuer.token())).status == 200
        issuer.is_down = True
        monkeypatch.setattr(issuer_keys, "_FRESH_SECONDS", 0.0)
        assert (await ask(issuer.token())).status == 200
    assert "the keys of the issuer could not be fetched" in caplog.text


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"jwks_uri": "http://127.0.0.1:9/keys"}, "on another origin"),
        ({"jwks_uri": "http://evil.example/keys"}, "no https address"),
        ({"jwks_uri": 7}, "name no keys"),
        ({"issuer": "https://evil.example"}, "of another issuer"),
    ],
)
async def test_keys_come_from_the_issuer_alone(
    simulator: Simulator, issuer: Issuer, change: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.metadata = change
    with caplog.at_level(logging.ERROR):
        async with trusting(simulator, issuer) as ask:
            assert (await ask(issuer.token())).status == 503
    assert why in caplog.text
    assert "/keys" not in issuer.asked


async def test_keys_that_are_too_large_or_strange_do_not_count(simulator: Simulator, issuer: Issuer) -> None:
    secret = {"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(b"x" * 32).decode()}
    issuer.keys = [secret, {"kty": "RSA"}, "x", {**public_key(RSA_KEY, kid="enc"), "use": "enc"}, *issuer.keys]
    async with trusting(simulator, issuer) as ask:
        assert (await ask(issuer.token())).status == 200
        assert (await ask(issuer.token(headers={"kid": "enc"}))).status == 401
        assert (await ask(issuer.token("x" * 32, "HS256", {"kid": "shared"}))).status == 401
    issuer.padding = "x" * 600_000
    async with trusting(simulator, issuer) as ask:
        assert (await ask(issuer.token())).status == 503


async def test_clients_learn_where_to_get_a_token(simulator: Simulator, issuer: Issuer) -> None:
    async with trusting(simulator, issuer) as ask:
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
            answer = await ask.peer.raw(f"GET {path} HTTP/1.1\nHost: localhost\n")
            assert (answer.status, answer.header("content-type")) == (200, "application/json")
            said = json.loads(answer.body)
            assert (said["resource"], said["authorization_servers"]) == (AUDIENCE, [issuer.url])
            assert said["scopes_supported"] == ["read", "use", "manage", "files", "metrics"]
            assert (await ask.peer.raw(f"GET {path} HTTP/1.1\nHost: evil.com\n")).status == 421
        none = await ask.peer.post(modern(1, "tools/list"), "modern")
        assert none.status == 401
        assert none.header("www-authenticate") == (
            'Bearer realm="ollama-mcp-server", scope="read use", '
            'resource_metadata="https://gpu-box.example/.well-known/oauth-protected-resource/mcp"'
        )


async def test_own_tokens_claim_no_oauth(simulator: Simulator, tmp_path: Path) -> None:
    from tests.security.team import team_at

    async with team_at(simulator.url, tmp_path) as team:
        answer = await team.peer.raw("GET /.well-known/oauth-protected-resource HTTP/1.1\nHost: localhost\n")
        assert answer.status == 401
        assert "resource_metadata" not in (answer.header("www-authenticate") or "")
        signed_in = await team.peer.raw(
            "GET /.well-known/oauth-protected-resource HTTP/1.1\nHost: localhost\n"
            f"Authorization: Bearer {team.secrets['admin']}\n"
        )
        assert signed_in.status == 404


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"issuer": "https://id.example"}, "auth.issuer needs auth.audience"),
        ({"issuer": "http://id.example", "audience": "x"}, "no https address"),
        ({"issuer": "https://user:pw@id.example", "audience": "x"}, "no https address"),
        ({"issuer": "https://id.example", "audience": "x", "jwks_url": "ftp://id.example"}, "no https address"),
    ],
)
def test_settings_that_cannot_be_right_stop_the_start(given: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        JwtAuthenticator(AuthSettings.model_validate(given), lambda name: limits_for(Settings(), name))
