"""What a request's head must be (RFC 9112, sections 2 to 7): from its bytes to a `Head`, or why it is none. Pure functions.

The grammar is regular, and stands here as regular expressions that never go back. What another reader could take for something
else (folded lines, line ends of one character, two lengths) is refused and not guessed at: where two programs that read the same
bytes disagree on where a request ends, one request can be hidden in another (section 11.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from noria.serving.protocol.request import BadRequest

MAX_HEAD_BYTES = 32_768
MAX_LINE_BYTES = 8_192  # of the request line; section 3 recommends 8,000 at the least
MAX_LENGTH_DIGITS = 18
MAX_REMEMBERED_BYTES = 4_096  # of a head whose lines are remembered
IMPLEMENTED = ("GET", "HEAD", "POST", "OPTIONS")
KNOWN_METHODS = {*IMPLEMENTED, "PUT", "DELETE", "PATCH", "TRACE"}  # what is known and not for a path

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]"
_BEGINNING = re.compile(_TOKEN)
_LINE = re.compile(rb"(%b++) ([\x21-\x7e]++) HTTP/([0-9])\.([0-9])" % _TOKEN)
FIELD = re.compile(rb"(%b++):[ \t]*+(%b*+)" % (_TOKEN, _VALUE))
_STRAY_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_EMPTY_LINES = re.compile(rb"(?:\r\n)*+")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]++\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+)(?::[0-9]*+)?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]++)(.*+)")
_LENGTHS = re.compile(rb"[0-9]++(?:[ \t]*+,[ \t]*+[0-9]++)*+")


class BadHead(BadRequest):
    """A request's head breaks HTTP/1.1 (RFC 9112): where the next request begins is not known, so the connection ends."""

    code = "NR-545"

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what=what, where=f"{where} of RFC 9112", fix="send a request that conforms to RFC 9112")


class NotSpoken(BadRequest):
    """A version, method or transfer coding of HTTP that is not implemented here. RFC 9110 would have 501 and 505 (as a SHOULD); a request
    that nobody here can serve is the client's, and no request may look like a failure of the server: it gets 400, a method 405."""

    code = "NR-546"

    def __init__(self, what: str, fix: str, status: int = 400) -> None:
        self.http_status = status
        if status == 405:
            self.http_headers = (("allow", ", ".join(IMPLEMENTED)),)
        super().__init__(what=what, where="the request's head", fix=fix)


class HeadTooLarge(BadRequest):
    """A request line, the fields before a body or what surrounds the chunks of one are longer than the server takes."""

    code = "NR-547"

    def __init__(self, what: str, limit: int, status: int = 431) -> None:
        self.http_status = status
        super().__init__(what=f"{what} too large", where=f"the limit is {limit:,} bytes", fix="make it smaller")


class Unmet(BadRequest):
    """A request expects what the server does not do (RFC 9110, section 10.1.1)."""

    code = "NR-549"
    http_status = 417

    def __init__(self, expectation: str) -> None:
        super().__init__(
            what=f"expectation {expectation!r} is not supported", where="header Expect", fix="send 100-continue, or no Expect header"
        )


class Head:
    """A request without its body. Header names are lower case; the values of lines with the same name are joined by commas.

    target: what is asked for, without scheme and host; old: whether the request is HTTP/1.0; length: the body's bytes, None where
    it comes in chunks; expects: whether the client waits to be told to send its body; labels, tenant: of its key, once that is known
    """

    __slots__ = ("expects", "headers", "keep_alive", "labels", "length", "method", "old", "target", "tenant")

    def __init__(self, method: str, target: bytes, *, old: bool, headers: dict[bytes, bytes]) -> None:
        self.method, self.target, self.old, self.headers = method, target, old, headers
        self.keep_alive, self.expects = not old, False
        self.length: int | None = 0
        self.labels: tuple[str, ...] = ()
        self.tenant = ""

    @property
    def path(self) -> str:
        """The path as it was sent."""
        return self.target.split(b"?", 1)[0].decode("latin-1")

    @property
    def segments(self) -> list[str]:
        """The path's parts between slashes, decoded (RFC 3986, section 2.1). Raises `BadHead`."""
        parts = self.target.split(b"?", 1)[0].strip(b"/").split(b"/")
        try:
            return [unquote_to_bytes(part).decode() for part in parts]
        except UnicodeDecodeError as error:
            raise BadHead("the path is not UTF-8", "section 3.2") from error

    def header(self, name: bytes) -> str:
        """A header's value; empty if it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")


def without_empty_lines(data: bytes) -> bytes:
    """What follows the empty lines that may stand before a request (section 2.2)."""
    found = _EMPTY_LINES.match(data) if data[:1] == b"\r" else None
    return data if found is None else data[found.end() :]


def find_end(data: bytes, seen: int) -> int:
    """Where the head at the beginning of `data` ends, of which `seen` bytes were looked at before; 0 where more must come.

    Raises what is wrong already with one that is not all here: `BadHead`, `HeadTooLarge`.
    """
    end = data.find(b"\r\n\r\n", max(0, seen - 3)) + 4
    if end > 3:
        return end
    if data != b"\r" and not _BEGINNING.match(data):
        raise BadHead("this is not an HTTP request", "section 3")
    _check_line_ends(data, max(0, seen - 1))
    if len(data) > MAX_LINE_BYTES and data.find(b"\r\n", 0, MAX_LINE_BYTES + 2) < 0:
        raise HeadTooLarge("the request line is", MAX_LINE_BYTES, 414)
    if len(data) > MAX_HEAD_BYTES:
        raise HeadTooLarge("the headers are", MAX_HEAD_BYTES)
    return 0


def _check_line_ends(data: bytes, begin: int = 0) -> None:
    if _STRAY_LINE_END.search(data, begin):
        raise BadHead("a line does not end in CRLF", "section 2.2")


def read_head(data: bytes) -> Head:
    """The head that `data` is, its empty line included. Raises `BadHead`, `NotSpoken`, `HeadTooLarge`, `Unmet`."""
    line, *lines = data[:-4].split(b"\r\n")
    if len(line) > MAX_LINE_BYTES:
        raise HeadTooLarge("the request line is", MAX_LINE_BYTES, 414)
    if len(data) > MAX_HEAD_BYTES:
        raise HeadTooLarge("the headers are", MAX_HEAD_BYTES)
    small = len(data) <= MAX_REMEMBERED_BYTES
    method, target, old = (_request_line if small else _request_line.__wrapped__)(line)
    head = Head(method, target, old=old, headers=_fields(lines, _field if small else _field.__wrapped__))
    _check_host(head)
    _find_target(head)
    _find_length(head)
    _find_wishes(head)
    return head


@lru_cache(maxsize=512)
def _request_line(line: bytes) -> tuple[str, bytes, bool]:
    """Method, target, and whether the version is HTTP/1.0 (sections 2.3 and 3)."""
    found = _LINE.fullmatch(line)
    if found is None:
        _check_line_ends(line)
        raise BadHead("the first line is not `METHOD target HTTP/1.1`", "section 3")
    method, target, major, minor = found.groups()
    if major != b"1":
        raise NotSpoken(f"HTTP/{major.decode()}.{minor.decode()} is not supported on this port", "use version 1.1")
    name = method.decode("latin-1")
    if name not in KNOWN_METHODS:
        raise NotSpoken(f"{name[:40]} is not implemented", "use " + ", ".join(IMPLEMENTED), 405)
    if _BAD_ESCAPE.search(target) or b"#" in target:
        raise BadHead("the target is not a URI", "section 3.2")
    return name, target, minor == b"0"


def _fields(lines: list[bytes], field: Callable[[bytes], tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The header lines by name (section 5)."""
    headers = dict(map(field, lines))
    if len(headers) < len(lines):
        headers.clear()
        for name, value in map(field, lines):
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


@lru_cache(maxsize=512)  # clients send the same lines again and again, even where one line always differs
def _field(line: bytes) -> tuple[bytes, bytes]:
    found = FIELD.fullmatch(line)
    if found is None:
        raise _bad_field(line)
    return found[1].lower(), found[2].rstrip(b" \t")


def _bad_field(line: bytes) -> BadHead:
    """What is wrong with a header line that is no field."""
    _check_line_ends(line)
    name, colon, _ = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        return BadHead("a header line is folded, or whitespace precedes the first header", "section 5.2")
    if colon and name != name.rstrip(b" \t"):
        return BadHead("there is whitespace between a header's name and its colon", "section 5.1")
    if colon and FIELD.fullmatch(name + colon):
        return BadHead(f"the value of header {name[:40].decode()} holds a control character", "section 5.5")
    return BadHead("a header line is not `name: value`", "section 5")


@lru_cache(maxsize=512)
def _is_host(text: bytes) -> bool:
    return _HOST.fullmatch(text) is not None


def _check_host(head: Head) -> None:
    """One host, of the form that hosts have; HTTP/1.0 may leave it out (section 3.2)."""
    host = head.headers.get(b"host")
    if host is None and not head.old:
        raise BadHead("there is no Host header", "section 3.2")
    if host is not None and not _is_host(host):
        raise BadHead("there are two Host headers, or one that is not a valid host", "section 3.2")


def _find_target(head: Head) -> None:
    """The four forms of a target (section 3.2); an absolute one says for which host it is, whatever the header says."""
    target = head.target
    if target[:1] == b"/" or (target == b"*" and head.method == "OPTIONS"):
        return
    found = _ABSOLUTE.fullmatch(target)
    if found is None or not _is_host(found[1]) or found[1][:1] == b":":
        raise BadHead("the target is neither a path nor an http URI", "section 3.2")
    head.headers[b"host"], rest = found.groups()
    if not rest.startswith(b"/"):
        rest = b"*" if head.method == "OPTIONS" and not rest else b"/" + rest
    head.target = rest


def _find_length(head: Head) -> None:
    """How the body is framed (section 6.3)."""
    coding, length = head.headers.get(b"transfer-encoding"), head.headers.get(b"content-length")
    if coding is not None:
        if length is not None or head.old:
            raise BadHead("Transfer-Encoding is sent with Content-Length, or in HTTP/1.0", "section 6.1")
        codings = [word.strip(b" \t").lower() for word in coding.split(b",") if word.strip(b" \t")]
        if not codings or codings[-1] != b"chunked" or codings.count(b"chunked") > 1:
            raise BadHead("chunked must be the last transfer coding, and be applied only once", "section 6.3")
        if len(codings) > 1:
            raise NotSpoken(
                f"transfer coding {codings[0][:40].decode('latin-1')} is not implemented", "send the body chunked, or with a Content-Length"
            )
        head.length = None
    elif length is not None:
        head.length = _length(length)


def _length(text: bytes) -> int:
    if not text.isdigit():
        if not _LENGTHS.fullmatch(text):
            raise BadHead("Content-Length is not a number", "section 6.2")
        first, *others = [word.strip(b" \t") for word in text.split(b",")]
        if others != [first] * len(others):
            raise BadHead("there are two Content-Length headers that differ", "section 6.3")
        text = first
    digits = text.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= MAX_LENGTH_DIGITS else 10**MAX_LENGTH_DIGITS  # beyond every limit


def _find_wishes(head: Head) -> None:
    """Whether the connection is to end with this request, and whether the client waits before it sends the body (section 9)."""
    connection = head.headers.get(b"connection")
    if connection is not None and connection != b"keep-alive" and not head.old:
        head.keep_alive = b"close" not in [word.strip(b" \t") for word in connection.lower().split(b",")]
    expectation = head.headers.get(b"expect")
    if expectation is not None and not head.old:
        if expectation.lower() != b"100-continue":
            raise Unmet(expectation[:40].decode("latin-1"))
        head.expects = head.length != 0
