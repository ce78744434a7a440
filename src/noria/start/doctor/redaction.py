"""Texts for an issue that anybody may read: without secrets, people, hosts and the places of folders."""

from __future__ import annotations

import getpass
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*)://[^\s'\")]+", re.IGNORECASE)
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
IPV4 = re.compile(r"\b(?!127\.0\.0\.1\b)(?:\d{1,3}\.){3}\d{1,3}\b")
IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}(?![\w:])", re.IGNORECASE)
SECRET = re.compile(r"(?i)\b(password|passwd|secret|token|api_?key|key|bearer)\b(\s*[=:]\s*|\s+)\S+")
LONG = re.compile(r"\b(?=[A-Za-z0-9_\-]*\d)(?=[A-Za-z0-9_\-]*[A-Za-z])[A-Za-z0-9_\-]{24,}\b")
OUTSIDE = re.compile(r"(?<![\w.~>])/(?:[\w.@+\-]+/)+[\w.@+\-]+")


@dataclass(frozen=True)
class Private:
    """What must not be said: the home folder, the project's folder, names of the user and of the machine."""

    home: str
    project: str
    user: str
    hosts: tuple[str, ...]

    @staticmethod
    def here(project: Path) -> Private:
        try:
            user = getpass.getuser()
        except (OSError, KeyError):  # a user without a name, as in some containers
            user = ""
        host = socket.gethostname()
        names = {host, host.partition(".")[0], os.environ.get("HOSTNAME", "")}
        return Private(str(Path.home()), str(project.resolve()), user, tuple(sorted((n for n in names if n), key=len, reverse=True)))


def redacted(text: str, private: Private) -> str:
    """The text with `<project>`, `~`, `<path>`, `<user>`, `<host>`, `<address>`, `<mail>` and `<secret>` in their places."""
    text = text.replace(private.project, "<project>")
    if private.home not in ("/", ""):
        text = re.sub(rf"{re.escape(private.home)}(?=/|\b)", "~", text)
    text = ADDRESS.sub(lambda found: f"{found[1]}://<address>", text)
    text = MAIL.sub("<mail>", text)
    text = SECRET.sub(lambda found: f"{found[1]}{found[2]}<secret>", text)
    text = OUTSIDE.sub(lambda found: f"<path>/{Path(found[0]).name}", text)
    for host in private.hosts:
        text = re.sub(rf"(?<!\w){re.escape(host)}(?!\w)", "<host>", text)
    if private.user:
        text = re.sub(rf"(?<!\w){re.escape(private.user)}(?!\w)", "<user>", text)
    text = IPV6.sub("<address>", IPV4.sub("<address>", text))
    return LONG.sub("<secret>", text)
