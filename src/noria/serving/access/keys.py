"""Who may ask what: API keys with a role, a rate and a quota, kept as hashes; every route has a policy.

A key is 32 random bytes, told once when it is made. What is kept is its SHA-256: a fast hash is enough where nothing can be
guessed. Revoking it takes effect within a second or two, on every worker.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import msgspec

from noria.core.clock import Clock
from noria.core.errors import UserMistake, nearest
from noria.core.files import Files

PREFIX = "nr_"
FILE = "access.json"


class Role(StrEnum):
    """What a key is for. `admin` may do what the others may."""

    PREDICT = "predict"
    READ = "read"
    ADMIN = "admin"


def role_of(name: str) -> Role:
    """The role of that name. Raises `UnknownKey`."""
    known = [role.value for role in Role]
    if name not in known:
        raise UnknownKey(what=f"there is no role {name!r}{nearest(name, known)}", where="--role", fix="roles: " + ", ".join(known))
    return Role(name)


class Key(msgspec.Struct, frozen=True):
    """One API key: its name, the hash of its secret, its role, its requests per second and per day (0: unlimited).

    until: when it ends, as seconds since 1970-01-01 UTC (0: never); a token's is the token's
    labels: what it may read of a search's documents, beside what everybody may (see `noria.serving.access.labels`)
    tenant: on whose behalf it asks (see `noria.serving.access.tenants`); empty: nobody's in particular
    """

    name: str
    hash: str
    role: Role
    rate: float = 0.0
    quota: int = 0
    until: float = 0.0
    labels: tuple[str, ...] = ()
    tenant: str = ""


class Unauthenticated(UserMistake):
    """A request without a key that is known."""

    code = "NR-530"
    http_status = 401
    http_headers = (("www-authenticate", "Bearer"),)

    def __init__(self) -> None:
        super().__init__(
            what="an API key is required", where="header Authorization", fix="send `Authorization: Bearer KEY`; `noria key add` creates one"
        )


class Forbidden(UserMistake):
    """A request whose key has another role."""

    code = "NR-531"
    http_status = 403

    def __init__(self, key: Key, role: Role) -> None:
        super().__init__(
            what=f"key {key.name!r} is not allowed to do this", where=f"its role is {key.role}", fix=f"use a key whose role is {role}"
        )


class TooManyRequests(UserMistake):
    """A key asks more often than it may."""

    code = "NR-532"
    http_status = 429
    retry_after = 1

    def __init__(self, key: Key) -> None:
        super().__init__(
            what=f"key {key.name!r} exceeded its rate limit", where=f"its limit is {key.rate:g} requests per second", fix="slow down"
        )


class QuotaSpent(UserMistake):
    """A key has made all requests that it may make today."""

    code = "NR-544"
    http_status = 429

    def __init__(self, key: Key, now: datetime) -> None:
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        self.retry_after = int((midnight - now).total_seconds()) + 1
        super().__init__(
            what=f"key {key.name!r} exceeded its daily quota",
            where=f"its quota is {key.quota:,} requests per day",
            fix="try again tomorrow (UTC)",
        )


class UnknownKey(UserMistake):
    """There is no key of that name, or there is one already."""

    code = "NR-533"


class Bucket:
    """A token bucket: `rate` tokens a second, at most a second's worth at once."""

    __slots__ = ("_left", "_most", "_now", "_rate", "_seen")

    def __init__(self, rate: float, now: Callable[[], float]) -> None:
        self._rate, self._most, self._now = rate, max(rate, 1.0), now
        self._left, self._seen = self._most, now()

    def take(self) -> bool:
        now = self._now()
        self._left = min(self._most, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Tokens(Protocol):
    """What checks an identity provider's tokens: `noria.serving.access.tokens`."""

    def looks_like_one(self, secret: str) -> bool: ...
    def require(self, token: str, role: Role) -> Key: ...
    def valid(self, key: Key) -> bool: ...


class Tally:
    """How many requests of keys with a quota one worker has let in today (UTC)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._day, self._requests = "", Counter[str]()

    def add(self, key: Key) -> None:
        self._requests_today()[key.name] += 1

    def to_dict(self) -> dict[str, Any]:
        return {"day": self._day, "requests": dict(self._requests)}

    @property
    def now(self) -> datetime:
        return self._clock.now()

    def _requests_today(self) -> Counter[str]:
        today = f"{self._clock.now():%Y-%m-%d}"
        if today != self._day:
            self._day, self._requests = today, Counter()
        return self._requests


class Access:
    """The keys that one worker knows. Without any, everyone may do everything: then the server listens on loopback only.

    guarded: there were keys once; with the last one revoked nobody may do anything
    share: the part of a key's rate that this worker grants; connections are spread over workers, so rates are kept on average
    tokens: those of an identity provider, which are let in beside keys; exhausted: keys that are through for today
    """

    def __init__(
        self,
        keys: Sequence[Key],
        now: Callable[[], float],
        *,
        guarded: bool = False,
        share: float = 1.0,
        tokens: Tokens | None = None,
        tally: Tally | None = None,
        exhausted: Sequence[str] = (),
    ) -> None:
        self.open = not keys and not guarded and tokens is None
        self._keys = {key.hash: key for key in keys}
        self._buckets = {key.hash: Bucket(key.rate * share, now) for key in keys if key.rate}
        self._tokens, self._tally, self._exhausted = tokens, tally, frozenset(exhausted)

    def require(self, secret: str, role: Role | None) -> Key | None:
        """The key of a request for something of that role; None where nobody is asked. Raises `Unauthenticated` or `Forbidden`."""
        if role is None or self.open:
            return None
        if self._tokens is not None and self._tokens.looks_like_one(secret):
            return self._tokens.require(secret, role)
        key = self._keys.get(hashed(secret))
        if key is None:
            raise Unauthenticated
        if key.role not in (role, Role.ADMIN):
            raise Forbidden(key, role)
        return key

    @staticmethod
    def limits(key: Key | None) -> bool:
        """Whether every single request of a key has to be looked at."""
        return key is not None and bool(key.rate or key.quota or key.until)

    def spend(self, key: Key | None) -> None:
        """Count one request of a key. Raises `TooManyRequests`, `QuotaSpent`, or `Unauthenticated` for a token whose time is over."""
        if key is None:
            return
        if key.until and self._tokens is not None and not self._tokens.valid(key):
            raise Unauthenticated
        if key.quota and self._tally is not None:
            if key.name in self._exhausted:
                raise QuotaSpent(key, self._tally.now)
            self._tally.add(key)
        if key.rate and not self._buckets[key.hash].take():
            raise TooManyRequests(key)


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_of(authorization: str, api_key: str) -> str:
    """The secret that a request carries, in `Authorization: Bearer …` or `X-API-Key`; empty if none."""
    scheme, _, secret = authorization.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else api_key


class KeyFile:
    """The keys of a project, in a file."""

    def __init__(self, folder: Path, files: Files) -> None:
        self._path, self._files = folder / FILE, files

    def read(self) -> list[Key]:
        if not self._files.exists(self._path):
            return []
        try:
            return msgspec.json.decode(self._files.read(self._path), type=list[Key])
        except msgspec.DecodeError as error:
            what = "the key file can't be read"
            raise UnknownKey(what=what, where=f"{self._path}: {error}", fix="restore it from a backup") from error

    def add(self, name: str, role: Role, rate: float, quota: int = 0, labels: Sequence[str] = (), tenant: str = "") -> str:
        """Make a key; returns its secret, which is kept nowhere. Raises `UnknownKey` if the name is taken."""
        keys = self.read()
        if any(key.name == name for key in keys):
            raise UnknownKey(what=f"key {name!r} already exists", where=str(self._path), fix="choose another name, or revoke it first")
        secret = PREFIX + secrets.token_urlsafe(32)
        self._write([*keys, Key(name, hashed(secret), role, rate, quota, labels=tuple(labels), tenant=tenant)])
        return secret

    def revoke(self, name: str) -> None:
        """Forget a key. Raises `UnknownKey`."""
        keys = self.read()
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            known = [key.name for key in keys]
            what = f"there is no key {name!r}{nearest(name, known)}"
            raise UnknownKey(what=what, where=str(self._path), fix="keys: " + (", ".join(known) or "none"))
        self._write(left)

    def _write(self, keys: list[Key]) -> None:
        self._files.make_folder(self._path.parent)
        self._files.write(self._path, msgspec.json.format(msgspec.json.encode(keys)))
