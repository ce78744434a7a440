"""Bearer tokens of an identity provider that really runs, and quotas over workers and restarts."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from noria.core.clock import ReplayClock, SystemClock
from noria.core.files import LocalFiles
from noria.core.settings import ServingSettings
from noria.serving.access.keys import Forbidden, Key, KeyFile, Role, Unauthenticated
from noria.serving.access.quotas import Quotas, UnreadableQuotas
from noria.serving.access.tokens import Issuer, NoIssuer, Tokens, find_issuer
from servers import Standalone, make_bundle, soon

BODY = json.dumps({"rows": [{"a": 1.0, "b": 2.0}]}).encode()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: Any, kid: str) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    found: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return {**found, "kid": kid, "use": "sig"}


class Provider:
    """An OpenID Connect provider on loopback: discovery and keys."""

    def __init__(self) -> None:
        self.keys = [public(RSA, "r"), public(CURVE, "c")]
        self.told_issuer: str | None = None
        provider = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                discovery = {"issuer": provider.told_issuer or provider.url, "jwks_uri": f"{provider.url}/keys"}
                body = json.dumps({"keys": provider.keys} if self.path == "/keys" else discovery).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, key: Any = RSA, kid: str | None = "r", algorithm: str = "RS256", **claims: Any) -> str:
        now = SystemClock().now()
        told = {"iss": self.url, "aud": "noria", "sub": "ann", "exp": now + timedelta(minutes=5), "roles": ["predict"], **claims}
        told = {name: value for name, value in told.items() if value is not None}
        return str(jwt.encode(told, key, algorithm, headers={"kid": kid} if kid else {}))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.close()


@pytest.fixture(scope="module")
def server(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("tokens")
    bundle = make_bundle(folder / "bundles")
    running = Standalone(folder / "server", bundle.path, oidc_issuer=provider.url, oidc_audience="noria", grpc_port=0)
    yield running
    running.kill()


def ask(server: Standalone, token: str | None) -> int:
    return server.http("POST", "/predict/small", BODY, {"Authorization": f"Bearer {token}"} if token else {})[0]


def test_a_token_may_do_what_its_roles_say(server: Standalone, provider: Provider) -> None:
    reader = provider.token(CURVE, "c", "ES256", roles="read other")
    assert ask(server, provider.token()) == 200
    assert ask(server, reader) == 403
    assert ask(server, None) == 401
    for who, status in ((provider.token(), 403), (reader, 200), (provider.token(roles=["admin"]), 200), (provider.token(roles=None), 403)):
        assert server.http("GET", "/status", None, {"Authorization": f"Bearer {who}"})[0] == status
        assert server.admin("/status", {"Authorization": f"Bearer {who}"})[0] == status


def test_grpc_takes_tokens_too(server: Standalone, provider: Provider) -> None:
    request = service_pb2.ModelInferRequest(model_name="small")
    request.inputs.add(name="features", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(bytes(8))
    with grpc.insecure_channel(f"127.0.0.1:{server.where['grpc_port']}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        call(request.SerializeToString(), metadata=(("authorization", f"Bearer {provider.token()}"),), timeout=10)
        with pytest.raises(grpc.RpcError) as refusal:
            call(request.SerializeToString(), metadata=(("authorization", f"Bearer {provider.token(roles=[])}"),), timeout=10)
    assert refusal.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_a_token_ends_on_a_connection_that_goes_on(provider: Provider) -> None:
    """Heads are known by their bytes: the end of the token in one must be looked at for every request."""
    clock = ReplayClock(SystemClock().now())
    tokens = Tokens(issuer(provider), clock)
    key = tokens.require(provider.token(), Role.PREDICT)
    assert tokens.valid(key)
    clock.advance_to(clock.now() + timedelta(minutes=5, seconds=5))
    assert tokens.valid(key)  # clocks differ a little
    clock.advance_to(clock.now() + timedelta(seconds=10))
    assert not tokens.valid(key)
    with pytest.raises(Unauthenticated):
        tokens.require(provider.token(exp=clock.now() - timedelta(minutes=1)), Role.PREDICT)


def issuer(provider: Provider) -> Issuer:
    found = find_issuer(ServingSettings(oidc_issuer=provider.url, oidc_audience="noria"))
    assert found is not None
    return found


def unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*parts, ""])


def test_tokens_that_are_not_the_providers_are_refused(server: Standalone, provider: Provider) -> None:
    past, claims = SystemClock().now() - timedelta(minutes=1), {"iss": provider.url, "aud": "noria", "sub": "eve", "exp": 2**40}
    pem = RSA.public_key().public_bytes(*_pem())
    bad = {
        "a stranger's signature": provider.token(STRANGER),
        "an unknown key": provider.token(STRANGER, "x"),
        "no key id where there are several": provider.token(kid=None),
        "another provider": provider.token(iss="https://evil.example"),
        "another audience": provider.token(aud="other"),
        "no audience": provider.token(aud=None),
        "no end": provider.token(exp=None),
        "an end that is over": provider.token(exp=past),
        "an end that is no number": provider.token(exp="never"),
        "not yet": provider.token(nbf=SystemClock().now() + timedelta(hours=1)),
        "no signature": unsigned({**claims, "roles": ["admin"]}, {"alg": "none", "typ": "JWT", "kid": "r"}),
        "the public key as a secret": forged(pem, {**claims, "roles": ["admin"]}),
        "the key of another kind": provider.token(CURVE, "r", "ES256"),
        "half a token": provider.token()[:-30],
        "no JSON": "a.b.c",
        "dots": "..",
    }
    for name, token in bad.items():
        assert ask(server, token) == 401, name
    assert ask(server, provider.token()) == 200


def _pem() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return Encoding.PEM, PublicFormat.SubjectPublicKeyInfo


def forged(secret: bytes, claims: dict[str, Any]) -> str:
    """Signed by HMAC with what everyone knows: the classic confusion of algorithms."""
    import hashlib
    import hmac

    parts = ".".join(unsigned(claims, {"alg": "HS256", "kid": "r"}).split(".")[:2])
    signature = base64.urlsafe_b64encode(hmac.new(secret, parts.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    return f"{parts}.{signature}"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_mutated_token_lets_nobody_in(provider: Provider, data: st.DataObject) -> None:
    token = provider.token(roles=["admin"])
    place = data.draw(st.integers(0, len(token) - 2))  # the last character's low bits are not part of the signature
    letter = data.draw(st.sampled_from("ABCxyz019-_."))
    changed = token[:place] + letter + token[place + 1 :]
    if changed == token:
        return
    with pytest.raises((Unauthenticated, Forbidden)):
        Tokens(issuer(provider), SystemClock()).require(changed, Role.ADMIN)


def test_a_provider_that_cannot_be_trusted_is_refused_at_the_start(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoIssuer, match="https only"):
        find_issuer(ServingSettings(oidc_issuer="http://198.51.100.7", oidc_audience="noria"))
    with pytest.raises(NoIssuer):
        find_issuer(ServingSettings(oidc_issuer="http://127.0.0.1:1", oidc_audience="noria"))
    with pytest.raises(Exception, match="any audience"):
        find_issuer(ServingSettings(oidc_issuer=provider.url))
    monkeypatch.setattr(provider, "told_issuer", "https://other.example")
    with pytest.raises(NoIssuer, match=r"other\.example"):
        issuer(provider)
    monkeypatch.setattr(provider, "told_issuer", None)
    monkeypatch.setattr(provider, "keys", [])
    with pytest.raises(NoIssuer, match="no keys"):
        issuer(provider)


# --- quotas -------------------------------------------------------------------------------------------------------------------


def test_a_quota_holds_over_workers_and_restarts_and_begins_anew_the_next_day(tmp_path: Path) -> None:
    clock = ReplayClock(datetime(2024, 5, 1, 23, 50, tzinfo=UTC))
    keys = [Key("web", "h", Role.PREDICT, quota=10), Key("free", "g", Role.PREDICT)]
    quotas = Quotas(tmp_path, clock, LocalFiles())
    for writer, spent in (("w0", 3), ("w1", 4), ("w0", 5)):
        quotas.heard(writer, {"day": "2024-05-01", "requests": {"web": spent, "free": 99}})
    assert quotas.total()["web"] == 9
    assert quotas.exhausted(keys) == []
    quotas.keep(now=True)
    again = Quotas(tmp_path, clock, LocalFiles())
    again.heard("w2", {"day": "2024-05-01", "requests": {"web": 1}})
    assert again.exhausted(keys) == ["web"]
    clock.advance_to(datetime(2024, 5, 2, 0, 1, tzinfo=UTC))
    again.heard("w2", {"day": "2024-05-01", "requests": {"web": 50}})
    assert again.exhausted(keys) == []
    (tmp_path / "spent.json").write_text("{")
    with pytest.raises(UnreadableQuotas):
        Quotas(tmp_path, clock, LocalFiles())


def test_a_key_that_is_through_for_today_is_refused_until_midnight(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    keys = KeyFile(tmp_path / "server", LocalFiles())
    few, many = keys.add("few", Role.PREDICT, 0.0, quota=20), keys.add("many", Role.PREDICT, 0.0)
    server = Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path, workers=2)
    try:
        assert [ask(server, few) for _ in range(20)] == [200] * 20
        soon(lambda: ask(server, few) == 429)
        status, answer = server.http("POST", "/predict/small", BODY, {"Authorization": f"Bearer {few}"})
        assert (status, answer["code"]) == (429, "NR-544")
        assert ask(server, many) == 200
        server.stop()
    finally:
        server.kill()
    again = Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path)
    try:
        time.sleep(0.1)
        assert ask(again, few) == 429
    finally:
        again.kill()
