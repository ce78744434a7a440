"""HTTP/1.1 as RFC 9112 and RFC 9110 ask for it: bytes over a real socket to one real server, row by row; and a fuzz beside h11."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import h11
import pytest

from noria.serving.protocol.request import BadRequest
from noria.serving.transport.body import MAX_AROUND_CHUNKS, MAX_CHUNK_LINE, Chunked, TooLarge
from noria.serving.transport.budget import ByteBudget
from noria.serving.transport.head import MAX_HEAD_BYTES, MAX_LINE_BYTES, BadHead, Head, HeadTooLarge, find_end, read_head
from servers import Standalone, make_bundle

LIMIT = 100_000
ROWS = json.dumps({"rows": [{"a": 1.0, "b": 2.0}]}).encode()
HOST = b"Host: localhost\r\n"
LIVE = b"GET /v2/health/live HTTP/1.1\r\n" + HOST + b"\r\n"
HEAD = b"POST /predict/small HTTP/1.1\r\n" + HOST


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A connection whose bytes are ours."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end(self) -> None:
        """Send no more; answers can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, read by its own framing."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) [ -~]+", first)
        assert found, first
        names = [line.split(":", 1)[0].lower() for line in lines]
        assert len(set(names)) == len(names)
        headers = {name: line.split(":", 1)[1].strip() for name, line in zip(names, lines, strict=True)}
        status = int(found[1])
        return Answer(status, headers, b"" if method == "HEAD" or status == 100 else self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            while b"0\r\n\r\n" not in self._read:
                self._more()
            body, _, self._read = self._read.partition(b"0\r\n\r\n")
            return body
        if "content-length" not in headers:
            body, self._read = self.rest(), b""
            return body
        length = int(headers["content-length"])
        while len(self._read) < length:
            self._more()
        body, self._read = self._read[:length], self._read[length:]
        return body

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        data = self._read
        while part := self._socket.recv(65536):
            data += part
        return data

    def is_open(self) -> bool:
        """Whether one more request is answered, by the very next bytes; False where the server has closed instead."""
        assert not self._read
        try:
            self.send(LIVE)
            return self.answer().body == b'{"live":true}'
        except ConnectionError:
            return False

    def _more(self) -> None:
        part = self._socket.recv(65536)
        if not part:
            raise ConnectionResetError("closed")
        self._read += part


@dataclass(frozen=True)
class Row:
    section: str
    what: str
    sent: bytes
    status: int | tuple[int, ...]
    closed: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""


def get(target: bytes = b"/v2/health/live", headers: bytes = HOST, version: bytes = b"HTTP/1.1", method: bytes = b"GET") -> bytes:
    return b"%b %b %b\r\n%b\r\n" % (method, target, version, headers)


def post(body: bytes = ROWS, headers: bytes = b"", target: bytes = b"/predict/small") -> bytes:
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n%b" % (target, HOST, len(body), headers, body)


def chunked(*parts: bytes, headers: bytes = b"", trailers: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return HEAD + b"Transfer-Encoding: chunked\r\n" + headers + b"\r\n" + body + b"0\r\n" + trailers + b"\r\n"


def raw_chunks(body: bytes) -> bytes:
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body


def bad_head(section: str, what: str, sent: bytes, status: int = 400, code: str = "NR-545") -> Row:
    """Where the next request begins is not known: what follows is dropped."""
    return Row(section, what, sent + LIVE, status, closed=True, code=code, headers={"connection": "close"})


ONE = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ROWS), ROWS)

REQUEST_LINES = [
    Row("9112 §2.2", "an empty line before a request", b"\r\n" + LIVE, 200),
    Row("9112 §2.2", "many empty lines before a request", b"\r\n" * 50 + LIVE, 200),
    Row("9112 §2.2", "an empty line after a body", post() + b"\r\n" + LIVE, (200, 200)),
    bad_head("9112 §2.2", "a line feed alone before a request", b"\n"),
    bad_head("9112 §2.2", "lines that end in a line feed alone", b"GET / HTTP/1.1\nHost: localhost\n\n"),
    bad_head("9112 §2.2", "one header line that ends in a line feed alone", b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n"),
    bad_head("9112 §2.2", "a carriage return alone in the request line", b"GET /\r HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad_head("9112 §2.2", "a carriage return alone between headers", b"GET / HTTP/1.1\r\nA: b\rHost: localhost\r\n\r\n"),
    bad_head("9112 §2.2", "a carriage return alone in a value", get(headers=HOST + b"X: a\rb\r\n")),
    bad_head("9112 §2.2", "space before the first header", b"GET / HTTP/1.1\r\n " + HOST + b"\r\n"),
    bad_head("9112 §2.2", "a tab before the first header", b"GET / HTTP/1.1\r\n\t" + HOST + b"\r\n"),
    bad_head("9112 §2.2", "bytes of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    bad_head("9112 §2.2", "a carriage return alone before a request", b"\r"),
    bad_head("9112 §3", "one word", b"NONSENSE\r\n\r\n"),
    bad_head("9112 §3", "two words (HTTP/0.9)", b"GET /\r\n\r\n"),
    bad_head("9112 §3", "four words", b"GET / / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad_head("9112 §3", "two spaces", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad_head("9112 §3", "a tab for a space", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad_head("9112 §3", "space at the end", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    bad_head("9112 §3", "space at the beginning", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad_head("9112 §3", "no target", b"GET  HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad_head("9112 §3.1", "a method that is no token", b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad_head("9112 §3.1", "a method with a colon", b"GET: / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad_head("9112 §3.1", "a method beyond ASCII", b"G\xc9T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad_head("9112 §2.3", "HTTP/2.0", get(version=b"HTTP/2.0"), 400, "NR-546"),
    bad_head("9112 §2.3", "HTTP/3.0", get(version=b"HTTP/3.0"), 400, "NR-546"),
    bad_head("9112 §2.3", "HTTP/0.9", get(version=b"HTTP/0.9"), 400, "NR-546"),
    bad_head("9113 §3.4", "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "NR-546"),
    Row("9110 §2.5", "HTTP/1.2 is answered as HTTP/1.1", get(version=b"HTTP/1.2"), 200),
    bad_head("9112 §2.3", "http in lower case", get(version=b"http/1.1")),
    bad_head("9112 §2.3", "a version of two digits", get(version=b"HTTP/1.10")),
    bad_head("9112 §2.3", "a version without a point", get(version=b"HTTP/11")),
    bad_head("9112 §2.3", "a version of letters", get(version=b"HTTP/x.y")),
    bad_head("9112 §2.3", "another protocol", get(version=b"RTSP/1.0")),
    bad_head("9112 §3", "a target that is too long", get(b"/" + b"a" * MAX_LINE_BYTES), 414, "NR-547"),
    Row("9112 §3", "a long target is read", get(b"/v2/health/live?" + b"a" * 8_000), 200),
]
METHODS = [
    Row("9110 §9.3.2", "HEAD is GET without a body", get(method=b"HEAD"), 200, headers={"content-length": "13"}),
    Row("9110 §9.3.2", "HEAD of a document", get(b"/openapi.json", method=b"HEAD"), 200, headers={"content-type": "application/json"}),
    Row("9110 §9.3.2", "HEAD of metadata", get(b"/v2/models/small", method=b"HEAD"), 200),
    Row("9110 §9.3.2", "HEAD of nothing has no body either", get(b"/nothing", method=b"HEAD"), 404),
    Row("9110 §15.5.6", "HEAD of what is posted to", get(b"/predict/small", method=b"HEAD"), 405, headers={"allow": "OPTIONS, POST"}),
    Row("9110 §15.5.6", "GET of what is posted to", get(b"/predict/small"), 405, headers={"allow": "OPTIONS, POST"}, code="NR-515"),
    Row("9110 §15.5.6", "POST to what is got", post(target=b"/status"), 405, headers={"allow": "GET, HEAD, OPTIONS"}, code="NR-515"),
    *(
        Row(
            "9110 §15.5.6",
            f"{method.decode()} is known and not for a path",
            get(method=method),
            405,
            headers={"allow": "GET, HEAD, OPTIONS"},
        )
        for method in (b"PUT", b"DELETE", b"PATCH", b"TRACE")
    ),
    Row("9110 §9.3.7", "OPTIONS of a path", get(b"/status", method=b"OPTIONS"), 200, headers={"allow": "GET, HEAD, OPTIONS"}),
    Row("9110 §9.3.7", "OPTIONS of what is posted to", get(b"/predict/x", method=b"OPTIONS"), 200, headers={"allow": "OPTIONS, POST"}),
    Row("9110 §9.3.7", "OPTIONS has no body", get(b"*", method=b"OPTIONS"), 200, headers={"content-length": "0"}),
    Row("9112 §3.2.4", "OPTIONS *", get(b"*", method=b"OPTIONS"), 200, headers={"allow": "GET, HEAD, OPTIONS, POST"}),
    Row("9110 §9.3.7", "OPTIONS of nothing", get(b"/nothing", method=b"OPTIONS"), 404),
    *(
        bad_head("9110 §15.6.2", f"{method.decode()} is not implemented", get(method=method), 405, "NR-546")
        for method in (b"get", b"Get", b"post", b"FOO", b"PROPFIND", b"M-SEARCH", b"BREW", b"head")
    ),
    bad_head("9110 §9.3.6", "CONNECT makes no tunnel", get(b"localhost:80", method=b"CONNECT"), 405, "NR-546"),
    bad_head("9112 §3.2.3", "the form of CONNECT's target with GET", get(b"localhost:80")),
    bad_head("9112 §3.2.4", "* with GET", get(b"*")),
    bad_head("9112 §3.2.4", "* with HEAD", get(b"*", method=b"HEAD")),
    Row("9110 §9.3.1", "GET with a body, which is read over", get(headers=HOST + b"Content-Length: 5\r\n") + b"hello" + LIVE, (200, 200)),
]
TARGETS = [
    Row("9112 §3.2.2", "an absolute target", get(b"http://localhost/v2/health/live"), 200),
    Row("9112 §3.2.2", "an absolute target with a port", get(b"http://127.0.0.1:8080/v2/health/live"), 200),
    Row("9112 §3.2.2", "an absolute target of https", get(b"https://localhost/v2/health/live"), 200),
    Row("9110 §4.2.3", "a scheme and a host in capitals", get(b"HTTP://LOCALHOST/v2/health/live"), 200),
    Row("9112 §3.2.2", "an absolute target of IPv6", get(b"http://[::1]:80/v2/health/live"), 200),
    Row("9112 §3.2.2", "an absolute target without a path", get(b"http://localhost"), 200),
    Row("9112 §3.2.2", "an absolute target of a query alone", get(b"http://localhost?a=b"), 200),
    Row(
        "9112 §3.2.4",
        "OPTIONS of a server, absolute",
        get(b"http://localhost", method=b"OPTIONS"),
        200,
        headers={"allow": "GET, HEAD, OPTIONS, POST"},
    ),
    Row("9112 §3.2.2", "an absolute target counts, not Host", get(b"http://localhost/v2", b"Host: evil.example\r\n"), 200),
    Row("9112 §3.2.2", "an absolute target of another host", get(b"http://evil.example/v2"), 421, code="NR-516"),
    Row("9112 §3.2.2", "POST to an absolute target", post(target=b"http://localhost/predict/small"), 200),
    bad_head("9112 §3.2", "an absolute target does not stand in for Host", get(b"http://localhost/v2", b"")),
    bad_head("9110 §4.2.4", "an absolute target with a user", get(b"http://me:pw@localhost/v2")),
    bad_head("9110 §4.2.1", "an absolute target without a host", get(b"http:///v2")),
    bad_head("9110 §4.2.1", "an absolute target of a port alone", get(b"http://:80/v2")),
    bad_head("9112 §3.2.2", "another scheme", get(b"ftp://localhost/v2")),
    bad_head("9112 §3.2.1", "a path without a slash", get(b"v2/health/live")),
    bad_head("9112 §3.2", "a fragment", get(b"/v2#here")),
    bad_head("9112 §3.2", "a target beyond ASCII", get("/prédict".encode())),
    bad_head("9112 §3.2", "a control character in the target", get(b"/v2\x01")),
    bad_head("9112 §3.2", "NUL in the target", get(b"/v2\x00")),
    Row("3986 §2.1", "letters may be encoded", get(b"/v2/%68ealth/%6c%69ve"), 200),
    Row("3986 §2.1", "escapes in either case", get(b"/v2/health/l%69v%65"), 200),
    Row("3986 §2.1", "an endpoint with a space in its name", post(target=b"/predict/two%20words"), 200),
    Row("3986 §2.1", "its metadata", get(b"/v2/models/two%20words"), 200),
    Row("3986 §2.1", "its readiness", get(b"/v2/models/two%20words/ready"), 200),
    Row("3986 §2.1", "plus is no space", post(target=b"/predict/two+words"), 404),
    Row("3986 §2.1", "an encoded slash does not separate", get(b"/v2%2Fhealth%2Flive"), 404),
    Row("3986 §2.1", "what is decoded is not decoded again", get(b"/v2/health/%256cive"), 404),
    Row("3986 §3.4", "a query is not part of the path", get(b"/v2/health/live?a=/nothing"), 200),
    Row("3986 §2.1", "bytes that are no UTF-8", get(b"/predict/%ff"), 400, code="NR-545"),
    *(bad_head("3986 §2.1", f"the escape {bad}", get(b"/v2/" + bad.encode())) for bad in ("%", "%2", "%zz", "%2g", "%%20", "a%", "%u0041")),
    bad_head("3986 §2.1", "a malformed escape in the query", get(b"/v2?x=%q1")),
]
HOSTS = [
    bad_head("9112 §3.2", "no Host", get(headers=b"")),
    bad_head("9112 §3.2", "no Host but other headers", get(headers=b"Accept: */*\r\n")),
    bad_head("9112 §3.2", "two Hosts", get(headers=HOST * 2)),
    bad_head("9112 §3.2", "two Hosts that differ", get(headers=HOST + b"host: evil.example\r\n")),
    *(
        bad_head("9112 §3.2", f"the host {bad!r}", get(headers=b"Host: " + bad + b"\r\n"))
        for bad in (
            b"a b",
            b"me@localhost",
            b"localhost/",
            b"localhost:80:80",
            b"localhost:x",
            b"[::1",
            b"::1",
            b"a,b c",
            b"a\xffb",
            b"%zz",
            b"http://a",
        )
    ),
    Row("9112 §3.2", "a Host with a port", get(headers=b"Host: localhost:8080\r\n"), 200),
    Row("3986 §3.2.3", "a Host with an empty port", get(headers=b"Host: localhost:\r\n"), 200),
    Row("9112 §3.2", "an empty Host is one", get(headers=b"Host:\r\n"), 200),
    Row("9110 §4.2.3", "a Host in capitals", get(headers=b"HOST: LocalHost\r\n"), 200),
    Row("3986 §3.2.2", "a Host of IPv6", get(headers=b"Host: [::1]:80\r\n"), 200),
    Row("9110 §7.4", "another Host", get(headers=b"Host: evil.example\r\n"), 421, code="NR-516"),
    Row("9112 §3.2", "HTTP/1.0 without Host", get(headers=b"", version=b"HTTP/1.0") + LIVE, 200, closed=True),
    bad_head("9112 §3.2", "HTTP/1.0 with two Hosts", get(headers=HOST * 2, version=b"HTTP/1.0")),
    bad_head("9112 §3.2", "HTTP/1.0 with an invalid Host", get(headers=b"Host: a b\r\n", version=b"HTTP/1.0")),
]
FIELDS = [
    bad_head("9112 §5.1", "space before the colon", get(headers=HOST + b"X : y\r\n")),
    bad_head("9112 §5.1", "a tab before the colon", get(headers=HOST + b"X\t: y\r\n")),
    bad_head("9112 §5.1", "space before the colon of Content-Length", HEAD + b"Content-Length : 3\r\n\r\nabc"),
    bad_head("9112 §5.2", "a folded line", get(headers=HOST + b"X: a\r\n b\r\n")),
    bad_head("9112 §5.2", "a line folded by a tab", get(headers=HOST + b"X: a\r\n\tb\r\n")),
    bad_head("9112 §5.2", "a folded Transfer-Encoding", HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + ONE),
    bad_head("9112 §5", "a line without a colon", get(headers=HOST + b"nonsense\r\n")),
    bad_head("9112 §5", "no name", get(headers=HOST + b": x\r\n")),
    *(
        bad_head("9110 §5.1", f"a name with {bad!r}", get(headers=HOST + b"X" + bad + b"Y: z\r\n"))
        for bad in (b" ", b"(", b")", b"<", b"@", b",", b";", b"\\", b'"', b"/", b"[", b"?", b"=", b"{", b"\x00", b"\x7f", b"\xe9")
    ),
    *(
        bad_head("9110 §5.5", f"a value with {bad!r}", get(headers=HOST + b"X: a" + bad + b"b\r\n"))
        for bad in (b"\x00", b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1b", b"\x7f")
    ),
    Row("9110 §5.5", "a tab, and bytes beyond ASCII in a value", get(headers=HOST + b"X: a\tb \xe9\xff\r\n"), 200),
    Row("9112 §5.1", "no space after the colon", get(headers=b"Host:localhost\r\nX:\r\n"), 200),
    Row("9112 §5.1", "space around a value", get(headers=b"Host: \t localhost \t \r\n"), 200),
    Row(
        "9110 §5.1",
        "names in any case",
        b"POST /predict/small HTTP/1.1\r\nhOsT: localhost\r\ncOnTeNt-LeNgTh: %d\r\n\r\n" % len(ROWS) + ROWS,
        200,
    ),
    Row("9110 §5.1", "every character that a name may have", get(headers=HOST + b"!#$%&'*+-.^_`|~09azAZ: x\r\n"), 200),
    bad_head("6585 §5", "headers that are too large", get(headers=HOST + b"X: " + b"a" * MAX_HEAD_BYTES + b"\r\n"), 431, "NR-547"),
    bad_head("6585 §5", "too many headers", get(headers=HOST + b"X: y\r\n" * 6_000), 431, "NR-547"),
    bad_head("6585 §5", "headers without an end", b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, 431, "NR-547"),
    bad_head("9112 §3", "a line without an end", b"GET /" + b"a" * 20_000, 414, "NR-547"),
]
BODIES = [
    Row("9112 §6.3", "a body of its length", post() + LIVE, (200, 200)),
    Row("9112 §6.3", "no length is no body", HEAD + b"\r\n" + LIVE, (400, 200), code="NR-510"),
    *(
        bad_head("9112 §6.2", f"the length {bad!r}", HEAD + b"Content-Length: " + bad + b"\r\n\r\n" + ROWS)
        for bad in (b"", b"-1", b"+5", b"0x10", b"1e2", b"5.0", b"five", b"5 5", b"5;", b",", b"5,", b"\xb2", b"1_0")
    ),
    bad_head("9112 §6.3", "two lengths that differ", HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
    bad_head("9112 §6.3", "two lengths that differ, in one line", HEAD + b"Content-Length: 3, 4\r\n\r\nabc"),
    Row("9112 §6.3", "a length said twice", HEAD + (b"Content-Length: %d\r\n" % len(ROWS)) * 2 + b"\r\n" + ROWS + LIVE, (200, 200)),
    Row("9110 §8.6", "a length with zeros before it", HEAD + b"Content-Length: 000%d\r\n\r\n" % len(ROWS) + ROWS + LIVE, (200, 200)),
    bad_head("9110 §15.5.14", "a body that is too large", HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1), 413, "NR-511"),
    bad_head("9112 §6.2", "a length of thirty digits", HEAD + b"Content-Length: %b\r\n\r\n" % (b"9" * 30), 413, "NR-511"),
    bad_head("9112 §6.2", "a length of ten thousand digits", HEAD + b"Content-Length: %b\r\n\r\n" % (b"9" * 10_000), 413, "NR-511"),
    Row("9112 §7.1", "a chunk", chunked(ROWS) + LIVE, (200, 200)),
    Row("9112 §7.1", "many chunks", chunked(*(ROWS[i : i + 1] for i in range(len(ROWS)))) + LIVE, (200, 200)),
    Row("9112 §7.1", "no chunk but the last", chunked() + LIVE, (400, 200), code="NR-510"),
    Row(
        "9112 §7.1",
        "a size in capitals, with zeros before it",
        raw_chunks(b"00%X\r\n%b\r\n000\r\n\r\n" % (len(ROWS), ROWS)) + LIVE,
        (200, 200),
    ),
    Row(
        "9112 §7.1.1",
        "chunk extensions are read over",
        raw_chunks(b'%x;a=b;c="d e" ; f\r\n%b\r\n0;x\r\n\r\n' % (len(ROWS), ROWS)) + LIVE,
        (200, 200),
    ),
    Row("9112 §7.1.2", "trailers are read over", chunked(ROWS, trailers=b"X: y\r\nHost: evil.example\r\n") + LIVE, (200, 200)),
    Row("9112 §7", "Chunked in capitals", HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n" + ONE + LIVE, (200, 200)),
    Row("9110 §5.6.1", "empty members of a list", HEAD + b"Transfer-Encoding: , chunked ,\r\n\r\n" + ONE + LIVE, (200, 200)),
    *(
        bad_head("9112 §7.1", f"chunks such as {bad[:20]!r}", raw_chunks(bad))
        for bad in (
            b"x\r\n",
            b"-3\r\nabc\r\n0\r\n\r\n",
            b"+3\r\nabc\r\n0\r\n\r\n",
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b" 3\r\nabc\r\n0\r\n\r\n",
            b"3 \r\nabc\r\n0\r\n\r\n",
            b"\r\nabc\r\n0\r\n\r\n",
            b"3\nabc\n0\n\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nabc0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3\rabc\r\n0\r\n\r\n",
            b"3;a\x00b\r\nabc\r\n0\r\n\r\n",
            b"3;a\nb\r\nabc\r\n0\r\n\r\n",
            b"3_0\r\n",
            b"1" * 20 + b"\r\n",
        )
    ),
    bad_head("9112 §7.1.2", "a trailer that is none", chunked(ROWS, trailers=b"GET /smuggled HTTP/1.1\r\n")),
    bad_head("9112 §7.1.2", "a folded trailer", chunked(ROWS, trailers=b"X: y\r\n z\r\n")),
    bad_head("9112 §7.1.1", "an extension that is too long", raw_chunks(b"3;" + b"a" * 2_000), 431, "NR-547"),
    bad_head(
        "9112 §7.1.1",
        "many extensions",
        raw_chunks(b"1;" + b"a" * 900 + b"\r\nx\r\n") + (b"1;" + b"a" * 900 + b"\r\nx\r\n") * 20,
        431,
        "NR-547",
    ),
    bad_head("9112 §7.1.2", "many trailers", chunked(ROWS, trailers=b"X: y\r\n" * 4_000), 431, "NR-547"),
    bad_head("9110 §15.5.14", "a chunk that is too large", raw_chunks(b"%x\r\n" % (LIMIT + 1)), 413, "NR-511"),
    bad_head("9110 §15.5.14", "chunks that are too large together", raw_chunks((b"ffff\r\n" + b" " * 0xFFFF + b"\r\n") * 2), 413, "NR-511"),
    bad_head("9112 §6.1", "Transfer-Encoding and Content-Length", HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + ONE),
    bad_head("9112 §6.1", "Content-Length and Transfer-Encoding", HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + ONE),
    bad_head("9112 §6.1", "Transfer-Encoding in HTTP/1.0", HEAD.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n\r\n" + ONE),
    bad_head("9112 §6.1", "an unknown transfer coding", HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + ONE, 400, "NR-546"),
    bad_head(
        "9112 §6.1", "unknown transfer codings", HEAD + b"Transfer-Encoding: foo\r\nTransfer-Encoding: chunked\r\n\r\n" + ONE, 400, "NR-546"
    ),
    *(
        bad_head("9112 §6.3", f"the transfer coding {bad.decode()!r}", HEAD + b"Transfer-Encoding: " + bad + b"\r\n\r\n" + ONE)
        for bad in (
            b"",
            b",",
            b"gzip",
            b"identity",
            b"chunked, gzip",
            b"chunked, chunked",
            b"chunked;q=1",
            b"xchunked",
            b"chunked x",
            b'"chunked"',
        )
    ),
    bad_head("9112 §6.3", "chunked twice, in two lines", HEAD + (b"Transfer-Encoding: chunked\r\n") * 2 + b"\r\n" + ONE),
    *(
        Row(
            "9110 §15.5.16",
            f"a body encoded by {coding.decode()}",
            post(headers=b"Content-Encoding: %b\r\n" % coding),
            415,
            headers={"accept-encoding": "identity"},
            code="NR-548",
        )
        for coding in (b"gzip", b"GZIP", b"br", b"deflate, gzip")
    ),
    Row("9110 §8.4.1", "a body encoded by identity", post(headers=b"Content-Encoding: identity\r\n"), 200),
]
CONNECTIONS = [
    Row("9112 §9.3", "HTTP/1.1 stays open", LIVE, 200),
    Row(
        "9112 §9.3.2", "pipelined requests are answered in order", LIVE + post() + LIVE + get(b"/nothing") + LIVE, (200, 200, 200, 404, 200)
    ),
    Row(
        "9112 §9.6",
        "after close what follows is dropped",
        get(headers=HOST + b"Connection: close\r\n") + LIVE,
        200,
        True,
        {"connection": "close"},
    ),
    Row("9112 §9.6", "close in capitals", get(headers=HOST + b"connection: CLOSE\r\n") + LIVE, 200, True, {"connection": "close"}),
    Row("9112 §9.6", "close in a list", get(headers=HOST + b"Connection: keep-alive, close\r\n") + LIVE, 200, True),
    Row("9112 §9.6", "close in a second line", get(headers=HOST + b"Connection: x\r\nConnection: close\r\n") + LIVE, 200, True),
    Row("9112 §9.6", "close with a body", post(headers=b"Connection: close\r\n") + LIVE, 200, True, {"connection": "close"}),
    Row("9112 §9.6", "close of a chunked request", chunked(ROWS, headers=b"Connection: close\r\n") + LIVE, 200, True),
    Row(
        "9112 §9.6",
        "close of what is refused",
        get(b"/nothing", HOST + b"Connection: close\r\n") + LIVE,
        404,
        True,
        {"connection": "close"},
    ),
    Row("9112 §9.6", "requests before a close are answered", LIVE + post(headers=b"Connection: close\r\n") + LIVE, (200, 200), True),
    Row("9110 §7.6.1", "what only looks like close", get(headers=HOST + b"Connection: closed, disclose\r\n") + LIVE, (200, 200)),
    Row("9112 §9.3", "keep-alive changes nothing", get(headers=HOST + b"Connection: keep-alive\r\n") + LIVE, (200, 200)),
    Row("9112 §9.3", "HTTP/1.0 ends with its answer", get(version=b"HTTP/1.0") + LIVE, 200, True, {"connection": "close"}),
    Row(
        "9112 §9.3",
        "HTTP/1.0 with keep-alive too",
        get(headers=HOST + b"Connection: keep-alive\r\n", version=b"HTTP/1.0") + LIVE,
        200,
        True,
    ),
    Row("9112 §9.3", "HTTP/1.0 with a body", post().replace(b"/1.1", b"/1.0") + LIVE, 200, True, {"connection": "close"}),
    Row("9112 §9.3", "HTTP/1.0 that is refused", get(b"/nothing", version=b"HTTP/1.0") + LIVE, 404, True, {"connection": "close"}),
    Row("9110 §9.3.2", "HTTP/1.0 HEAD", get(method=b"HEAD", version=b"HTTP/1.0"), 200, True, {"content-length": "13"}),
    Row(
        "9112 §9.3",
        "an error that leaves the framing known",
        get(b"/nothing") + post(b"{") + get(b"/predict/small") + LIVE,
        (404, 400, 405, 200),
    ),
    Row(
        "9110 §7.8",
        "an upgrade is passed over",
        get(headers=HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n") + LIVE,
        (200, 200),
    ),
    bad_head("9110 §10.1.1", "an expectation that is unknown", post(headers=b"Expect: 200-ok\r\n"), 417, "NR-549"),
    bad_head("9110 §10.1.1", "two expectations", post(headers=b"Expect: 100-continue, x\r\n"), 417, "NR-549"),
    Row("9110 §10.1.1", "HTTP/1.0 expects nothing", post(headers=b"Expect: 100-continue\r\n").replace(b"/1.1", b"/1.0"), 200, True),
    Row("9110 §10.1.1", "no need to go on where the body is here", post(headers=b"Expect: 100-Continue\r\n") + LIVE, (200, 200)),
    Row("9110 §10.1.1", "no body, no need to go on", get(headers=HOST + b"Expect: 100-continue\r\n") + LIVE, (200, 200)),
]
TABLE = [*REQUEST_LINES, *METHODS, *TARGETS, *HOSTS, *FIELDS, *BODIES, *CONNECTIONS]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("http1")
    bundle = make_bundle(folder / "bundles", 10.0).path
    order = {"others": {"two words": bundle}}
    running = Standalone(folder / "server", bundle, durability="process", order=order, workers=1, max_body_bytes=LIMIT)
    yield running
    running.kill()


@pytest.fixture
def client(server: Standalone) -> Iterator[Client]:
    with Client(server.where["port"]) as connection:
        yield connection


@pytest.mark.parametrize("row", TABLE, ids=[f"{row.section} {row.what}" for row in TABLE])
def test_bytes_are_answered_as_the_standard_says(client: Client, row: Row) -> None:
    client.send(row.sent)
    statuses = row.status if isinstance(row.status, tuple) else (row.status,)
    method = "HEAD" if row.sent.startswith(b"HEAD ") else "GET"
    answers = [client.answer(method) for _ in statuses]
    assert tuple(a.status for a in answers) == statuses
    if row.closed:
        assert client.rest() == b""
        assert answers[-1].headers["connection"] == "close"
    else:
        assert client.is_open()
    for answer in answers:
        assert abs((parsedate_to_datetime(answer.headers["date"]) - parsedate_to_datetime(answers[0].headers["date"])).total_seconds()) < 60
    assert row.headers.items() <= answers[0].headers.items()
    if row.code and method != "HEAD":
        assert json.loads(answers[0].body)["code"] == row.code


def test_the_table_is_long_and_names_its_sources() -> None:
    assert len(TABLE) >= 150
    assert len({(row.section, row.what) for row in TABLE}) == len(TABLE)
    assert all(re.fullmatch(r"(9110|9112|9113|3986|6585) §[\d.]+", row.section) for row in TABLE)


@pytest.mark.parametrize("path", [b"/v2/health/live", b"/v2", b"/docs", b"/openapi.json", b"/v2/models/small", b"/v2/models/nothing"])
def test_the_head_of_an_answer_is_the_same_for_head_as_for_get(client: Client, path: bytes) -> None:
    client.send(get(path))
    whole = client.answer()
    client.send(get(path, method=b"HEAD"))
    alone = client.answer("HEAD")
    assert (alone.status, alone.body) == (whole.status, b"")
    assert {**alone.headers, "date": ""} == {**whole.headers, "date": ""}
    assert client.is_open()


def test_a_client_that_waits_is_told_to_go_on_in_its_turn(client: Client) -> None:
    head = post(headers=b"Expect: 100-continue\r\n").removesuffix(ROWS)
    for before in (b"", LIVE, post() + LIVE):
        client.send(before + head)
        for _ in range(before.count(b"HTTP/1.1")):
            assert client.answer().status == 200
        assert client.answer() == Answer(100, {}, b"")
        client.send(ROWS)
        assert client.answer().status == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (post(target=b"/predict/nothing"), 404),
        (post(target=b"/status"), 405),
        (post(headers=b"Content-Encoding: gzip\r\n"), 415),
        (HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1) + ROWS, 413),
    ],
)
def test_a_client_that_waits_for_nothing_gets_its_answer_before_its_body(client: Client, head: bytes, status: int) -> None:
    client.send(head.removesuffix(ROWS).replace(HOST, HOST + b"Expect: 100-continue\r\n"))
    assert client.answer().status == status
    assert client.rest() == b""


@pytest.mark.parametrize("row", [row for row in TABLE if len(row.sent) < 400][::9], ids=lambda row: row.what)
def test_the_answer_does_not_depend_on_how_the_bytes_come(client: Client, row: Row) -> None:
    for at in range(len(row.sent)):
        try:
            client.send(row.sent[at : at + 1])
        except ConnectionError:  # answered and closed while we were still sending
            break
    first = row.status[0] if isinstance(row.status, tuple) else row.status
    assert client.answer("HEAD" if row.sent.startswith(b"HEAD ") else "GET").status == first


@pytest.mark.parametrize("cut", [10, len(post()) - len(ROWS), len(post()) - 1])
def test_a_request_whose_end_never_comes_is_not_answered_and_closes(client: Client, cut: int) -> None:
    """RFC 9112, section 8; a request before it is answered all the same."""
    client.send(LIVE + post()[:cut])
    client.end()
    assert client.answer().status == 200
    assert client.rest() == b""


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
def test_a_stream_is_chunked_where_chunks_are_understood(client: Client, version: bytes) -> None:
    client.send(post(target=b"/predict/small/stream").replace(b"HTTP/1.1", version))
    answer = client.answer()
    assert answer.status == 200
    assert "date" in answer.headers
    assert (answer.headers.get("transfer-encoding"), answer.headers.get("connection")) == (
        ("chunked", None) if version == b"HTTP/1.1" else (None, "close")
    )
    assert b"event: end" in answer.body


@pytest.mark.parametrize("data", [{}, {"data": None}], ids=["left out", "null"])
def test_a_tensor_without_data_is_refused_by_its_name(server: Standalone, data: dict[str, None]) -> None:
    column = {"shape": [1], "datatype": "FP32"}
    body = {"inputs": [{"name": "a", "data": [1.0], **column}, {"name": "b", **column, **data}]}
    status, answer = server.http("POST", "/v2/models/small/infer", json.dumps(body).encode())
    assert (status, answer["code"]) == (400, "NR-510")
    assert answer["what"] == "input 'b' has no data"
    body["inputs"][1]["data"] = [None]
    assert server.http("POST", "/v2/models/small/infer", json.dumps(body).encode())[0] == 200


def test_the_document_has_an_endpoint_with_a_space(server: Standalone) -> None:
    assert "/predict/two%20words" in server.http("GET", "/openapi.json")[1]["paths"]
    assert server.http("GET", "/docs/examples/two%20words/rows.json") == (200, {"rows": [{"a": -3.5, "b": 0.25}]})


# --- beside h11 ----------------------------------------------------------------------------------------------------------------

PIECES = {
    "method": [b"GET", b"POST", b"HEAD", b"OPTIONS", b"get", b"G T", b"", b"G\x00T", b"PUT"],
    "target": [b"/", b"/a?b=c", b"*", b"http://h/x", b"/%20", b"/%2", b"a", b"", b"/a b", b"/\xe9", b"/#f", b"/\x7f"],
    "version": [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1", b"HTTP/1.1 "],
    "name": [
        b"Host",
        b"X",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"X ",
        b" X",
        b"",
        b"X\x00",
        b"\xe9",
        b"Expect",
        b"Host",
    ],
    "value": [
        b"a",
        b"",
        b" b ",
        b"5",
        b"5, 5",
        b"5, 6",
        b"chunked",
        b"close",
        b"gzip, chunked",
        b"a\x00b",
        b"a\x0bb",
        b"\xff",
        b"a\r\n b",
        b"a b",
    ],
    "end": [b"\r\n"] * 60 + [b"\n", b"\r", b"\r\r\n"],
    "separator": [b": "] * 40 + [b":", b" : ", b"", b":\t"],
    "space": [b" "] * 80 + [b"  ", b"\t", b""],
}
COMMON = {"method": 3, "target": 2, "version": 1, "name": 2, "value": 1}


def some_head(rng: random.Random) -> bytes:
    """A head of likely and unlikely pieces; now and then a byte of it is another."""

    def piece(kind: str) -> bytes:
        options = PIECES[kind]
        return rng.choice(options[: COMMON[kind]] if kind in COMMON and rng.random() < 0.96 else options)

    lines = [piece("method") + piece("space") + piece("target") + piece("space") + piece("version")]
    lines += [b"Host: localhost"] * (rng.random() < 0.85)
    lines += [piece("name") + piece("separator") + piece("value") for _ in range(rng.randrange(3))]
    data = bytearray(b"".join(line + piece("end") for line in lines))
    if rng.random() < 0.2:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data) + b"\r\n"


def ours(data: bytes) -> Head | BadRequest | None:
    try:
        end = find_end(data, 0)
        return read_head(data[:end]) if end else None
    except BadRequest as error:
        return error


def h11s(data: bytes) -> h11.Request | None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


STRICTER = [  # what h11 lets pass and RFC 9112 or 9110 lets a server refuse, by where our answer says it is from
    "section 2.2",  # a line feed alone
    "section 3.2",  # targets and hosts of a form that h11 does not look at
    "section 5.2",  # folded lines
    "section 5.5",  # control characters
    "section 6.1",  # both framings at once, or chunks in HTTP/1.0
]


def test_no_head_is_accepted_that_h11_refuses_and_none_refused_without_a_reason() -> None:
    rng, both, refused = random.Random(18), 0, 0
    for _ in range(6_000):
        data = some_head(rng)
        mine, theirs = ours(data), h11s(data)
        if isinstance(mine, Head):
            assert theirs is not None, data
            assert mine.method.encode() == theirs.method
            assert {name: value for name, value in theirs.headers if name not in (b"host", b"content-length")}.keys() <= mine.headers.keys()
            both += 1
        elif theirs is not None:
            stricter = isinstance(mine, BadHead) and any(section in mine.where for section in STRICTER)
            assert stricter or (isinstance(mine, BadRequest) and mine.http_status in (400, 405, 417)), (data, mine)
            refused += 1
        else:
            refused += 1
    assert min(both, refused) > 1_000


def some_chunks(rng: random.Random) -> bytes:
    parts = [rng.randbytes(rng.randrange(1, 9)) for _ in range(rng.randrange(4))]
    sizes = [b"%x" % len(part) + rng.choice([b""] * 8 + [b";a=b", b";", b" ;x", b"\t"]) for part in parts]
    data = bytearray(b"".join(size + b"\r\n" + part + b"\r\n" for size, part in zip(sizes, parts, strict=True)) + b"0\r\n")
    data += b"".join(rng.choice([b"X: y\r\n", b"Z:\r\n"]) for _ in range(rng.choice([0, 0, 0, 2]))) + b"\r\n"
    for _ in range(rng.choice([0, 0, 1, 2])):
        data[rng.randrange(len(data))] = rng.choice(b"0123a\r\n;: x")
    return bytes(data)


def read_chunks(data: bytes, cuts: list[int]) -> bytes | None:
    """The body, read from pieces; None where it is refused or has no end."""
    body = Chunked(LIMIT, ByteBudget(2**20))
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        try:
            if body.feed(data[begin:end]) is not None:
                return body.whole()
        except BadRequest:
            return None
    return None


def h11s_chunks(data: bytes) -> bytes | None:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    parts = []
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return None
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
    except h11.RemoteProtocolError:
        return None
    return b"".join(parts)


def test_chunks_are_read_as_h11_reads_them_however_they_are_cut() -> None:
    rng, read, refused = random.Random(19), 0, 0
    for _ in range(4_000):
        data = some_chunks(rng)
        whole = read_chunks(data, [])
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))
        assert read_chunks(data, cuts) == whole, data
        assert read_chunks(data, list(range(1, len(data)))) == whole, data
        if whole is None:
            refused += 1
        else:
            read += 1
            bad_space = b" ;" in data or b"\t;" in data  # must be read over (section 7.1.1), which h11 does not
            assert bad_space or h11s_chunks(data) == whole, data
    assert min(read, refused) > 500


def test_the_end_of_a_head_is_found_however_its_bytes_come() -> None:
    data = post(headers=b"X: y\r\n")
    end = len(data) - len(ROWS)
    for cut in range(1, end):
        assert find_end(data[:cut], 0) == 0
        assert find_end(data, cut) == end


def test_bounds_hold_to_the_byte() -> None:
    fits = b"GET /" + b"a" * (MAX_LINE_BYTES - len(b"GET / HTTP/1.1")) + b" HTTP/1.1\r\nHost: h\r\n\r\n"
    assert read_head(fits).path.endswith("a")
    with pytest.raises(HeadTooLarge) as long:
        read_head(fits.replace(b"/a", b"/aa"))
    assert long.value.http_status == 414
    filler = MAX_HEAD_BYTES - len(b"GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n")
    assert read_head(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * filler + b"\r\n\r\n").headers[b"x"] == b"a" * filler
    with pytest.raises(HeadTooLarge) as large:
        read_head(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * (filler + 1) + b"\r\n\r\n")
    assert large.value.http_status == 431
    assert Chunked(5, ByteBudget(2**20)).feed(b"5\r\nabcde\r\n0\r\n\r\nrest") == b"rest"
    with pytest.raises(TooLarge):
        Chunked(4, ByteBudget(2**20)).feed(b"5\r\n")
    assert Chunked(5, ByteBudget(2**20)).feed(b"1;" + b"a" * (MAX_CHUNK_LINE - 2)) is None
    with pytest.raises(HeadTooLarge):
        Chunked(5, ByteBudget(2**20)).feed(b"1;" + b"a" * (MAX_CHUNK_LINE - 1))
    trailers = b"0\r\nX: " + b"a" * (MAX_AROUND_CHUNKS - 5) + b"\r\n\r\n"
    assert Chunked(5, ByteBudget(2**20)).feed(trailers) == b""
    with pytest.raises(HeadTooLarge):
        Chunked(5, ByteBudget(2**20)).feed(trailers.replace(b"X", b"XX"))
