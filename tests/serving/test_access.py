"""Who may ask what: every route of every port with every role; rates, revocation, TLS, and listening beyond this machine."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from noria.core.files import LocalFiles
from noria.serving.access.keys import Access, Bucket, Key, KeyFile, Role, TooManyRequests, Unauthenticated, hashed
from noria.serving.process.grpc import ROLES
from noria.serving.process.rest import ROUTES
from noria.serving.protocol.messages import HEALTH_SERVICE, INFERENCE_SERVICE, REFLECTION_SERVICES, health
from servers import Standalone, make_bundle, soon

BODY = json.dumps({"rows": [{"a": 1.0, "b": 2.0}]}).encode()
ROLES_AND_NONE = ("none", "wrong", *Role)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"folder": str(tmp_path_factory.mktemp("access"))}


@pytest.fixture(scope="module")
def server(secrets: dict[str, str]) -> Iterator[Standalone]:
    folder = Path(secrets["folder"]) / "server"
    keys = KeyFile(folder, LocalFiles())
    for role in Role:
        secrets[role] = keys.add(role, role, 0.0)
    secrets["wrong"] = "nr_wrong"
    running = Standalone(folder, make_bundle(Path(secrets["folder"]) / "bundles").path, grpc_port=0)
    yield running
    running.kill()


def allowed(role: Role | None, who: str) -> int | None:
    """The refusal that who asks with this key gets; None if it is let in."""
    if role is None:
        return None
    if who in ("none", "wrong"):
        return 401
    return None if who in (role, Role.ADMIN) else 403


@pytest.mark.parametrize("who", ROLES_AND_NONE)
@pytest.mark.parametrize("rule", ROUTES, ids=lambda rule: f"{rule.method} {rule.path}")
def test_every_route_lets_in_whom_its_policy_says(server: Standalone, secrets: dict[str, str], rule: Any, who: str) -> None:
    headers = {} if who == "none" else {"Authorization": f"Bearer {secrets[who]}"}
    path = rule.path.replace("<endpoint>", "small").replace("<bundle>", server.where["endpoints"]["small"])
    status, _ = server.http(rule.method, path, BODY if rule.method == "POST" else None, headers)
    expected = allowed(rule.role, who)
    assert status == expected if expected else status not in (401, 403)
    assert "nr_" not in str(server.admin("/v2/health/ready"))


def test_the_apis_page_is_open_and_a_key_opens_what_it_shows(server: Standalone, secrets: dict[str, str]) -> None:
    status, page = server.http("GET", "/docs")
    assert (status, server.http("GET", re.findall(r'src="(/docs/page.js[^"]*)"', page)[0])[0]) == (200, 200)
    status, document = server.http("GET", "/openapi.json", headers={"Authorization": f"Bearer {secrets[Role.READ]}"})
    assert (status, set(document["components"]["securitySchemes"])) == (200, {"bearer", "key"})
    assert document["security"] == [{"bearer": []}, {"key": []}]
    for origin, expected in (("https://models.example", 200), ("https://other.example", 421), ("null", 421)):
        headers = {"Authorization": f"Bearer {secrets[Role.PREDICT]}", "Host": "models.example", "Origin": origin}
        assert server.http("POST", "/predict/small", BODY, headers)[0] == expected


@pytest.mark.parametrize("who", ROLES_AND_NONE)
@pytest.mark.parametrize("path", ["/health/live", "/v2/health/live", "/v2/health/ready", "/status", "/metrics"])
def test_the_admin_port_too(server: Standalone, secrets: dict[str, str], path: str, who: str) -> None:
    headers = {} if who == "none" else {"X-API-Key": secrets[who]}
    role = Role.READ if path in ("/status", "/metrics") else None
    assert server.admin(path, headers)[0] == (allowed(role, who) or 200)


@pytest.mark.parametrize("who", ROLES_AND_NONE)
@pytest.mark.parametrize("method", ROLES)
def test_grpc_too(server: Standalone, secrets: dict[str, str], method: str, who: str) -> None:
    service = HEALTH_SERVICE if method in ("Check", "Watch") else REFLECTION_SERVICES[0] if "Reflection" in method else INFERENCE_SERVICE
    request = {"ModelInfer": infer, "ModelReady": named, "ModelMetadata": named}.get(method, lambda: b"")()
    metadata = () if who == "none" else (("authorization", f"Bearer {secrets[who]}"),)
    expected = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED, None: grpc.StatusCode.OK}[
        allowed(ROLES[method], who)
    ]
    with grpc.insecure_channel(f"127.0.0.1:{server.where['grpc_port']}") as channel:
        stream = channel.stream_stream(f"/{service}/{method}")(iter([request]), timeout=10, metadata=metadata)
        try:
            next(stream)
            code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            code = error.code()
        except StopIteration:
            code = stream.code()
        stream.cancel()
    assert code == expected


def infer() -> bytes:
    request = service_pb2.ModelInferRequest(model_name="small")
    request.inputs.add(name="features", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(bytes(8))
    data: bytes = request.SerializeToString()
    return data


def named() -> bytes:
    data: bytes = service_pb2.ModelReadyRequest(name="small").SerializeToString()
    return data


def test_keys_are_made_limited_and_revoked_while_the_server_runs(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "server", LocalFiles())
    (tmp_path / "server").mkdir()
    first = keys.add("first", Role.PREDICT, 0.0)
    server = Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path)

    def ask(secret: str) -> int:
        return server.http("POST", "/predict/small", BODY, {"Authorization": f"bearer {secret}"})[0]

    try:
        assert ask(first) == 200
        slow = keys.add("slow", Role.PREDICT, 5.0)
        soon(lambda: ask(slow) == 200)
        time.sleep(1.1)
        answers = [ask(slow) for _ in range(20)]
        assert answers[0] == 200
        assert 429 in answers
        assert ask(first) == 200
        keys.revoke("first")
        keys.revoke("slow")
        assert soon(lambda: ask(first) == 401) < 3
        assert ask(slow) == 401
        assert server.http("POST", "/predict/small", BODY)[0] == 401  # with the last key gone the door stays shut
        connection = http.client.HTTPConnection("127.0.0.1", server.where["port"], timeout=10)
        for method in ("GET", "HEAD"):
            connection.request(method, "/status")
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("www-authenticate")) == (401, "Bearer")  # RFC 9110, section 15.5.2
            answer.read()
        connection.close()
        assert server.http("GET", "/v2/health/ready")[0] == 200
        text = (tmp_path / "server" / "access.json").read_text()
        assert first not in text
    finally:
        server.kill()


def test_tls_for_rest_grpc_and_admin(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    settings = {"tls_certificate": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem", "grpc_port": 0}
    server = Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path, **settings)
    try:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        for url in (server.where["url"] + "/v2", server.where["admin_url"] + "/v2/health/ready"):
            assert url.startswith("https://")
            with urllib.request.urlopen(url, context=context, timeout=10) as answer:
                assert answer.status == 200
        credentials = grpc.ssl_channel_credentials((tmp_path / "ca.pem").read_bytes())
        with grpc.secure_channel(f"localhost:{server.where['grpc_port']}", credentials) as channel:
            check = channel.unary_unary(f"/{HEALTH_SERVICE}/Check", response_deserializer=health["HealthCheckResponse"].FromString)
            assert check(b"", timeout=10).status == 1
    finally:
        server.kill()


def test_beyond_this_machine_only_with_keys_and_tls(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundles").path
    folder = tmp_path / "server"
    with pytest.raises(AssertionError, match="noria key add"):
        Standalone(folder, bundle, host="0.0.0.0")
    secret = KeyFile(folder, LocalFiles()).add("one", Role.PREDICT, 0.0)
    with pytest.raises(AssertionError, match="without TLS"):
        Standalone(folder, bundle, host="0.0.0.0")
    with pytest.raises(AssertionError, match="TLS certificate can't be used"):
        Standalone(folder, bundle, host="0.0.0.0", tls_certificate=tmp_path / "none.pem")
    server = Standalone(folder, bundle, host="0.0.0.0", behind_tls_proxy="true")
    try:
        assert server.http("POST", "/predict/small", BODY, {"Host": "models.example"})[0] == 401
        assert server.http("POST", "/predict/small", BODY, {"Host": "models.example", "X-API-Key": secret})[0] == 200
    finally:
        server.kill()


def test_the_commands_for_keys(tmp_path: Path) -> None:
    (tmp_path / "noria.toml").write_text('[project]\nname = "x"\nmodule = "x"\n')

    def noria(*arguments: str) -> tuple[int, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "noria", "key", *arguments, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else json.loads(done.stderr)

    made = noria("add", "web", "--rate", "10")[1]
    assert made["secret"].startswith("nr_")
    assert noria("list")[1] == [{"name": "web", "role": "predict", "rate": 10.0, "quota": 0, "labels": [], "tenant": ""}]
    assert noria("add", "web")[0] == 2
    assert "did you mean 'predict'" in str(noria("add", "x", "--role", "predikt")[1])
    assert "did you mean 'web'" in str(noria("revoke", "webb")[1])
    assert noria("revoke", "web") == (0, {"revoked": "web"})
    assert noria("list")[1] == []


@given(st.floats(0.5, 100), st.lists(st.floats(0, 2), max_size=200))
def test_a_bucket_never_gives_more_than_its_rate(rate: float, pauses: list[float]) -> None:
    now = [0.0]
    bucket = Bucket(rate, lambda: now[0])
    given_out = 0
    for pause in pauses:
        now[0] += pause
        given_out += bucket.take()
    assert given_out <= max(rate, 1.0) + rate * now[0] + 1e-6


def test_an_access_without_its_last_key_is_shut() -> None:
    key = Key("one", hashed("secret"), Role.PREDICT, 1.0)
    access = Access([key], lambda: 0.0)
    assert access.require("secret", Role.PREDICT) == key
    access.spend(key)
    with pytest.raises(TooManyRequests):
        access.spend(key)
    assert Access([], lambda: 0.0).require("", Role.ADMIN) is None
    with pytest.raises(Unauthenticated):
        Access([], lambda: 0.0, guarded=True).require("secret", Role.PREDICT)
