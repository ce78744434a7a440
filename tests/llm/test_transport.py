"""Connections to servers of models: certificates, and proxies."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from chat_server import chat_server, fine, hangs
from noria.llm.generation import AnswerTimedOut, Message, NotAnswered, OpenAICompatible, Options, Retries

HI = [Message("user", "hi")]


def of(base_url: str) -> OpenAICompatible:
    return OpenAICompatible("m", base_url, retries=Retries(times=0), key_env="NORIA_TEST_KEY")


def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with chat_server(fine("ab"), tls=context) as server:
        with pytest.raises(NotAnswered, match="certificate verify failed"):
            of(server.base_url).generate(HI)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        generator = of(server.base_url)
        assert [generator.generate(HI).text, next(generator.stream(HI))] == ["ab", "ab"]
        assert len(server.requests) == 2
    with chat_server(hangs, tls=context) as server, pytest.raises(AnswerTimedOut):
        of(server.base_url).generate(HI, Options(timeout=0.3))


def test_a_proxy_is_used_where_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server(fine("by the proxy")) as proxy, chat_server(fine("direct")) as server:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        assert of("http://models.example/v1").generate(HI).text == "by the proxy"
        assert proxy.headers[0]["host"] == "models.example"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert of(server.base_url).generate(HI).text == "direct"
