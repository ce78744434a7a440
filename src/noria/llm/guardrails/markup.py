"""Markup and links that act where an answer is shown: scripts, event handlers, and pictures whose address carries data away."""

from __future__ import annotations

import html
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from noria.llm.guardrails.placeholders import merged
from noria.llm.guardrails.rule import Action, BadRule, Context, DeclaredRule, Finding, Where

ACTIVE = (
    r"script|style|iframe|frame|frameset|object|embed|applet|form|input|button|textarea|select|base|link"
    r"|meta|svg|math|template|noscript|portal|audio|video|source"
)
ELEMENT = re.compile(
    rf"<(?P<tag>script|style|iframe|object|svg|math|form"
    rf"|template)\b(?:(?!</(?P=tag)\s*>)[\s\S]){{0,20000}}(?:</(?P=tag)\s*>)?"
    rf"|</?(?:{ACTIVE})\b[^<>]{{0,5000}}>?",
    re.IGNORECASE,
)
TAG = re.compile(r"<[a-zA-Z!/?][^<>]{0,5000}>?")
QUOTING = re.compile(r"<[a-zA-Z!/?](?:[^<>\"']|\"[^\"]{0,2000}\"|'[^']{0,2000}'){0,5000}>")  # a > between quotes ends nothing
# Elements and attributes without an end: they are not held back for ever while an answer is streamed, and so their beginning is undone
ENDLESS = re.compile(
    r"<[a-zA-Z!/?][^\s<>\"']{0,40}(?=(?:[^<>\"']|\"[^\"]{0,1000}\"|'[^']{0,1000}'){0,1000}(?:[^<>\"']{1000}|\"[^\"]{1000}|'[^']{1000}))"
)
HANDLER = re.compile(r"[\s/\"']on[a-z]{3,24}\s{0,5}=", re.IGNORECASE)
ADDRESS = re.compile(
    r"\b(?:src|href|srcset|action|formaction|poster|background|data|xlink:href)\s{0,5}=\s{0,5}(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))",
    re.IGNORECASE,
)
STYLE = re.compile(r"\bstyle\s*=\s*[\"'][^\"']*(?:url\s*\(|expression|@import)", re.IGNORECASE)
MARKDOWN = re.compile(
    r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|!?\[[^\[\]]{0,500}\]){0,1000})\]\(\s{0,10}(?P<url><[^<>\n]{0,4000}>|[^\s()]{0,4000}(?:\([^\s()]{0,500}\)[^\s()]{0,500})?)[^()\n]{0,500}\)"
)
REFERENCE = re.compile(
    r"^[ ]{0,3}\[[^\[\]\n]{1,200}\]:[ \t]{0,10}\n?[ \t]{0,10}(?P<url><[^<>\n]{0,4000}>|\S{1,4000})[^\n]{0,500}", re.MULTILINE
)
BARE = re.compile(r"(?<![\w@])(?:(?:https?|ftp)[:：][\\/]{1,3}|www\.)[^\s<>\"'`\])]{1,4000}", re.IGNORECASE)
SCHEME = re.compile(
    r"(?<![\w-])(?:javascript|vbscript|livescript|data)\s{0,3}:(?=\s{0,3}[\w(;,\\/'\"\[`%&+-])[^\s<>)\]]{2,4000}", re.IGNORECASE
)
CONTROL = re.compile("[\x00-\x20\x7f\u00ad\u200b-\u200f\u2060\ufeff]")
SAFE_SCHEMES = ("http", "https", "mailto", "tel", "")


@dataclass(frozen=True, kw_only=True)
class SafeMarkup(DeclaredRule):
    """Finds active markup and links to other hosts, and redacts them unless declared otherwise.

    hosts: that links and pictures may lead to, with all below them; a picture is fetched without a click, so that its address can carry
        what the conversation says to whoever owns the host
    links: whether links that are followed by a click are limited to the hosts as well, or may lead anywhere
    markup: whether elements of HTML that act are taken out; code between backquotes is shown and not run, and left as it is
    """

    rule: ClassVar[str] = "markup"
    action: Action = "redact"
    places: tuple[Where, ...] = ("answer",)
    hosts: tuple[str, ...] = ()
    links: bool = True
    markup: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hosts", tuple(host.casefold().strip(".") for host in self.hosts))
        for host in self.hosts:
            if not re.fullmatch(r"[\w.-]+", host):
                raise BadRule(self.name, f"{host!r} is no host", "write hosts such as docs.example.org, without https:// and paths")

    def find(self, text: str, _where: Where, _context: Context) -> Sequence[Finding]:
        return merged(self._all(_without_code(text) if "`" in text or "~" in text else text))

    def _all(self, text: str) -> Iterator[Finding]:
        if self.markup and "<" in text:
            yield from self._elements(text)
        for found in MARKDOWN.finditer(text):
            if kind := self._unsafe(found["url"].strip("<>"), bool(found["image"])):
                yield Finding(found.start(), found.end(), kind)
        for found in REFERENCE.finditer(text):  # a picture may refer to it
            if kind := self._unsafe(found["url"].strip("<>"), image=True):
                yield Finding(found.start(), found.end(), kind)
        for found in BARE.finditer(text):
            if kind := self._unsafe(found[0].rstrip(".,;:!?*_"), image=False):
                yield Finding(found.start(), found.start() + len(found[0].rstrip(".,;:!?*_")), kind)
        for found in SCHEME.finditer(text):
            if _is_script(found[0]):
                yield Finding(found.start(), found.end(), "script")

    def _elements(self, text: str) -> Iterator[Finding]:
        for found in ELEMENT.finditer(text):
            yield Finding(found.start(), found.end(), "markup")
        for found in ENDLESS.finditer(text):
            yield Finding(found.start(), found.end(), "markup")
        for found in chain(TAG.finditer(text), QUOTING.finditer(text)):
            if HANDLER.search(found[0]) or STYLE.search(found[0]):
                yield Finding(found.start(), found.end(), "script")
                continue
            image = re.match(r"<\s*(?:img|image|picture)\b", found[0], re.IGNORECASE) is not None
            for address in ADDRESS.finditer(found[0]):
                if kind := self._unsafe(next(filter(None, address.groups()), ""), image):
                    yield Finding(found.start(), found.end(), kind)

    def _unsafe(self, url: str, image: bool) -> str:
        """The kind of what is wrong with an address; empty: it may stand."""
        url = plain_url(url)
        try:
            parts = urllib.parse.urlsplit(
                ("https:" + url) if url.startswith("//") else ("https://" + url) if url.lower().startswith("www.") else url
            )
            host = (parts.hostname or "").strip(".")
        except ValueError:
            return "link"  # an address that can't be read may lead anywhere
        if parts.scheme.lower() not in SAFE_SCHEMES:
            return (
                "image" if image and parts.scheme == "data" else "script" if parts.scheme in ("javascript", "vbscript", "data") else "link"
            )
        if not host:
            return "link" if parts.scheme in ("http", "https") else ""
        if any(host == known or host.endswith(f".{known}") for known in self.hosts):
            return ""
        return "image" if image else "link" if self.links else ""


def plain_url(url: str) -> str:
    """An address as a browser reads it: entities decoded, control characters left out, backslashes as slashes (WHATWG URL, 4.4)."""
    for _ in range(2):
        url = html.unescape(url)
    url = CONTROL.sub("", url)
    scheme = re.match(r"(?i)[^/?#]{0,60}", url)
    if scheme and "%" in scheme[0] and ":" in urllib.parse.unquote(scheme[0]) and ":" not in scheme[0]:
        url = urllib.parse.unquote(url)
    head, mark, tail = url.partition("?")
    return head.replace("\\", "/").replace("：", ":") + mark + tail


def _is_script(text: str) -> bool:
    plain = plain_url(text).lower()
    if plain.startswith("data:"):
        return re.match(r"data:(?:text|image|application|video|audio|font)/|data:[^,]{0,100};base64,", plain) is not None
    return re.match(r"(?:javascript|vbscript|livescript):[^\s]", plain) is not None and re.search(r"[(=\[`%;\\]", plain) is not None


CODE = re.compile(r"^ {0,3}(`{3,20}|~{3,20})[^\n]*\n[\s\S]*?^ {0,3}\1[ \t]*$|(?<!`)(`{1,2})(?!`)[^`\n]{1,500}\2(?!`)", re.MULTILINE)
RAW = re.compile(r"<(?:pre|script|style|textarea|!|\?)", re.IGNORECASE)  # begins HTML that goes on over empty lines (CommonMark, 4.6)


def _without_code(text: str) -> str:
    """The text with backquotes in place of closed blocks and spans of code, where a reader of Markdown takes them for such."""
    parts, after = list[str](), 0
    for found in CODE.finditer(text):
        before = "".join([*parts, text[after : found.start()]])
        if RAW.search(before):
            break
        near = before[before.rfind("\n\n") + 1 :] if found[1] else before[before.rfind(">") + 1 :]
        if re.search("<[a-zA-Z/]", near):  # within an element, these are letters of it
            continue
        parts += [text[after : found.start()], "`" * len(found[0])]
        after = found.end()
    return "".join([*parts, text[after:]])
