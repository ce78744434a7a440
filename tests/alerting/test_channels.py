"""Alert channels, against servers that hold them to the documented payloads."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from noria import integrations
from noria.alerting.channels import Alert, Channel, ChannelFailed, Event, NoSecret, open_channel, pause_after
from noria.core.errors import UserMistake
from noria.core.settings import AlertSettings


def alert(event: Event = "opened", severity: str = "page") -> Alert:
    words = "price: 20% are nulls, since 2024-03-01 <!channel> & more"
    return Alert(
        event, "shop/17", "shop", severity, "2024-03-02T00:00:00Z", words, ("one", "two"), "look at the table orders", {"share": 0.2}
    )


class Received:
    """A web server that remembers what it was sent, and answers as told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        received = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.requests.append((self.path, dict(self.headers), body))
                status, headers, answer = received.answers.pop(0) if received.answers else received.judge(self.path, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def judge(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Take what the two products' documentations allow, and nothing else."""
        sent = json.loads(body)
        if path == "/enqueue":
            ok = (
                set(sent) <= {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
                and sent["routing_key"] == "R" * 32
                and sent["event_action"] in ("trigger", "acknowledge", "resolve")
                and 0 < len(sent["dedup_key"]) <= 255
                and (sent["event_action"] != "trigger" or _is_payload(sent["payload"]))
            )
            return (202, {}, b'{"status":"success"}') if ok else (400, {}, b'{"status":"invalid event"}')
        if path == "/services/T/B/x":
            blocks = sent.get("blocks", [])
            ok = isinstance(sent["text"], str) and all(b["type"] == "section" and 0 < len(b["text"]["text"]) <= 3000 for b in blocks)
            return (200, {}, b"ok") if ok else (400, {}, b"invalid_payload")
        return 204, {}, b""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _is_payload(payload: dict[str, Any]) -> bool:
    known = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
    return set(payload) <= known and len(payload["summary"]) <= 1024 and payload["severity"] in ("critical", "error", "warning", "info")


@pytest.fixture
def web() -> Iterator[Received]:
    server = Received()
    yield server
    server.close()


def slack(web: Received) -> Channel:
    return open_channel("slack", AlertSettings(), {"NORIA_SLACK_URL": f"{web.url}/services/T/B/x"})


def pagerduty(web: Received) -> Channel:
    return open_channel("pagerduty", AlertSettings(pagerduty_url=f"{web.url}/enqueue"), {"NORIA_PAGERDUTY_KEY": "R" * 32})


def webhook(web: Received, key: str = "k") -> Channel:
    return open_channel("webhook", AlertSettings(), {"NORIA_WEBHOOK_URL": f"{web.url}/hook", "NORIA_WEBHOOK_SECRET": key})


def test_pagerduty_is_triggered_acknowledged_and_resolved_under_one_key(web: Received) -> None:
    channel = pagerduty(web)
    events: tuple[Event, ...] = ("opened", "acknowledged", "resolved", "digest")
    for event in events:
        channel.send(alert(event))
    sent = [json.loads(body) for _, _, body in web.requests]
    assert [s["event_action"] for s in sent] == ["trigger", "acknowledge", "resolve"]
    assert {s["dedup_key"] for s in sent} == {"shop/17"}
    assert sent[0]["payload"]["severity"] == "critical"
    channel.send(alert(severity="inform"))
    assert json.loads(web.requests[-1][2])["payload"]["severity"] == "warning"


def test_slack_gets_a_message_in_which_nothing_is_taken_for_a_mention(web: Received) -> None:
    slack(web).send(alert())
    sent = json.loads(web.requests[0][2])
    assert "shop" in sent["text"]
    assert "<!channel>" not in json.dumps(sent)
    assert "&lt;!channel&gt; &amp; more" in sent["text"]
    slack(web).send(Alert("digest", "i", "shop", "inform", "t", "s", tuple(f"line {i}" for i in range(2000))))


def test_a_webhook_can_tell_who_speaks_and_that_it_hears_it_again(web: Received) -> None:
    channel = webhook(web)
    channel.send(alert())
    channel.send(alert())
    (_, first, body), (_, again, _) = web.requests
    assert first["X-Noria-Signature"] == "sha256=" + hmac.new(b"k", body, hashlib.sha256).hexdigest()
    assert first["Idempotency-Key"] == again["Idempotency-Key"]
    assert Alert.from_dict(json.loads(body)) == alert()


@pytest.mark.parametrize("make", [slack, pagerduty, webhook])
@pytest.mark.parametrize(
    ("status", "headers", "pause"), [(500, {}, None), (429, {"Retry-After": "17"}, 17), (302, {"Location": "/x"}, None)]
)
def test_what_is_not_taken_is_said_with_the_pause_that_was_asked_for(
    web: Received, make: Any, status: int, headers: dict[str, str], pause: int | None
) -> None:
    web.answers.append((status, headers, b"no"))
    with pytest.raises(ChannelFailed) as failed:
        make(web).send(alert())
    assert failed.value.pause == (None if pause is None else timedelta(seconds=pause))
    assert len(web.requests) == 1  # no redirect was followed
    assert "services" not in str(failed.value)
    assert "R" * 8 not in str(failed.value)


@pytest.mark.parametrize("make", [slack, pagerduty, webhook])
def test_a_server_that_is_not_there_is_said_without_the_secret(make: Any) -> None:
    server = Received()
    channel = make(server)
    server.close()
    with pytest.raises(ChannelFailed) as failed:
        channel.send(alert())
    assert "services" not in str(failed.value)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@contextmanager
def mail(**options: Any) -> Iterator[tuple[AlertSettings, list[Any]]]:
    received: list[Any] = []

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
            received.append(envelope)
            return options.get("answer", "250 OK")

    controller = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    controller.start()
    port = controller.server.sockets[0].getsockname()[1]
    settings = AlertSettings(
        email_from="noria@example.org", email_to=["a@example.org", "b@example.org"], smtp_host="127.0.0.1", smtp_port=port
    )
    try:
        yield settings, received
    finally:
        controller.stop()


def test_email_goes_to_everybody_in_one_thread_an_incident() -> None:
    with mail() as (settings, received):
        channel = open_channel("email", settings, {})
        channel.send(alert())
        channel.send(alert("resolved"))
    assert received[0].rcpt_tos == ["a@example.org", "b@example.org"]
    texts = [envelope.content.decode() for envelope in received]
    assert "[shop] opened: price: 20% are nulls" in texts[0]
    threads = {line for text in texts for line in text.splitlines() if line.startswith("References")}
    assert len(threads) == 1


def test_a_refusal_by_the_mail_server_is_a_failure_and_no_password_goes_in_the_clear() -> None:
    with mail(answer="451 later") as (settings, _):
        with pytest.raises(ChannelFailed, match="451"):
            open_channel("email", settings, {}).send(alert())
        with pytest.raises(ChannelFailed, match="STARTTLS"):
            open_channel("email", settings, {"NORIA_SMTP_PASSWORD": "hunter2"}).send(alert())
    with pytest.raises(ChannelFailed):
        open_channel("email", settings, {}).send(alert())


def test_a_channel_without_its_secret_or_name_is_refused_with_what_to_do() -> None:
    for name, variable in (("slack", "NORIA_SLACK_URL"), ("pagerduty", "NORIA_PAGERDUTY_KEY"), ("webhook", "NORIA_WEBHOOK_URL")):
        with pytest.raises(NoSecret, match=variable):
            open_channel(name, AlertSettings(), {variable: "  "})
    with pytest.raises(UserMistake, match="did you mean 'slack'"):
        open_channel("slak", AlertSettings(), {})
    with pytest.raises(UserMistake, match="email_to"):
        open_channel("email", AlertSettings(), {})
    with pytest.raises(UserMistake, match="not an HTTP"):
        open_channel("slack", AlertSettings(), {"NORIA_SLACK_URL": "file:///etc/passwd"}).send(alert())


def test_pauses_grow_to_an_hour() -> None:
    pauses = [pause_after(n) for n in (1, 2, 3, 10, 10_000)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (timedelta(minutes=1), timedelta(hours=1))


def test_a_channel_is_added_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pigeon_alerts.py").write_text(
        "class Pigeon:\n    sent = []\n\n    def send(self, alert):\n        self.sent.append(alert.summary)\n\n\n"
        "def open_channel(settings, environ):\n    return Pigeon()\n"
    )
    with pytest.raises(UserMistake, match="channels: log, email, pagerduty, slack, webhook"):
        open_channel("pigeon", AlertSettings())
    monkeypatch.setattr(integrations, "__path__", [*integrations.__path__, str(tmp_path)])
    try:
        channel = open_channel("pigeon", AlertSettings())
        channel.send(alert())
        assert sys.modules["noria.integrations.pigeon_alerts"].Pigeon.sent == [alert().summary]
    finally:
        sys.modules.pop("noria.integrations.pigeon_alerts", None)
