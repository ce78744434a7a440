"""Bearer tokens of an identity provider (OpenID Connect), checked by the provider's public keys.

What a token may do stands in a claim: a list of roles (`predict`, `read`, `admin`), or a text of them with spaces. What it may read of a
search's documents stands in another claim of the same form, where the settings name one. Only signatures by public keys are taken, so that
nothing that a provider publishes can be used to sign.

The keys are found as the provider's discovery document says (https://openid.net/specs/openid-connect-discovery-1_0.html), by the
supervisor; workers get them from it and reach out to nobody. `pyjwt` is taken because a check of signatures is nothing to write oneself.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import msgspec

from noria.core.clock import Clock
from noria.core.errors import MissingExtra, OutsideWorld, UserMistake
from noria.core.settings import ServingSettings
from noria.serving.access.keys import Forbidden, Key, Role, Unauthenticated, hashed

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
DISCOVERY = "/.well-known/openid-configuration"
SECONDS = 5.0
MAX_KNOWN = 10_000
LEEWAY_SECONDS = 10
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Issuer(msgspec.Struct, frozen=True):
    """A provider: what its tokens say of themselves, and its public keys (JSON Web Keys, RFC 7517).

    labels, tenant: the claims with access labels, and with the tenant on whose behalf it asks
    """

    url: str
    audience: str
    claim: str
    keys: list[dict[str, Any]]
    labels: str | None = None
    tenant: str | None = None


class NoIssuer(OutsideWorld):
    """The identity provider can't be asked for its keys."""

    code = "NR-539"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(what="the identity provider's keys can't be fetched", where=f"{url}: {reason}", fix="check serving.oidc_issuer")


def find_issuer(settings: ServingSettings) -> Issuer | None:
    """The provider that the settings name, with its keys as they are now; None if they name none.

    Raises `NoIssuer`, or `UserMistake` for settings that can't be.
    """
    url = settings.oidc_issuer
    if url is None:
        return None
    if settings.oidc_audience is None:
        fix = "set serving.oidc_audience to the value of the provider's `aud` claim"
        raise UserMistake(what="tokens for any audience would be accepted", where="serving.oidc_issuer without an audience", fix=fix)
    try:
        import jwt  # noqa: F401
    except ImportError as error:
        raise MissingExtra(library="pyjwt", extra="oidc", needed_for="serving.oidc_issuer") from error
    found = _fetched(url.rstrip("/") + DISCOVERY)
    if found.get("issuer") != url:
        raise NoIssuer(url, f"its discovery document names the issuer {found.get('issuer')!r}")
    keys = _fetched(str(found.get("jwks_uri"))).get("keys")
    if not isinstance(keys, list) or not keys:
        raise NoIssuer(url, "it publishes no keys")
    named = [key for key in keys if isinstance(key, dict)]
    return Issuer(url, settings.oidc_audience, settings.oidc_claim, named, settings.oidc_labels_claim, settings.oidc_tenant_claim)


def _fetched(url: str) -> dict[str, Any]:
    where = urlsplit(url)
    if where.scheme != "https" and not (where.scheme == "http" and where.hostname in LOOPBACK):
        raise NoIssuer(url, "keys are fetched over https only (http from this machine)")
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as response:
            found = json.loads(response.read(1 << 20))
    except (OSError, ValueError) as error:
        raise NoIssuer(url, str(error)) from error
    if not isinstance(found, dict):
        raise NoIssuer(url, "it is not a JSON object")
    return found


class Tokens:
    """Checks the tokens of one provider."""

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self._issuer, self._clock = issuer, clock
        self._keys: dict[str | None, Any] = {}
        self._known: dict[str, tuple[Key, frozenset[str]]] = {}

    @staticmethod
    def looks_like_one(secret: str) -> bool:
        """Whether a secret has a token's three parts (no key of ours has a dot)."""
        return secret.count(".") == 2

    def require(self, token: str, role: Role) -> Key:
        """What a token may do, as a key whose role is the one asked for. Raises `Unauthenticated` or `Forbidden`."""
        key, roles = self._read(token)
        if not self.valid(key):
            raise Unauthenticated
        if role not in roles and Role.ADMIN not in roles:
            raise Forbidden(key, role)
        return msgspec.structs.replace(key, role=role)

    def valid(self, key: Key) -> bool:
        """Whether a token's time is not over."""
        return self._clock.now().timestamp() < key.until + LEEWAY_SECONDS

    def _read(self, token: str) -> tuple[Key, frozenset[str]]:
        """A token with a good signature, as a key that may nothing yet, and its roles: read once. Raises `Unauthenticated`."""
        digest = hashed(token)
        if digest in self._known:
            return self._known[digest]
        claims = self._claims(token)
        labels = () if self._issuer.labels is None else _words(claims.get(self._issuer.labels))
        tenant = "" if self._issuer.tenant is None else claims.get(self._issuer.tenant)
        if not isinstance(tenant, str):  # of several, or of none, it asks on nobody's behalf
            tenant = ""
        key = Key(str(claims["sub"]), "", Role.READ, until=float(claims["exp"]), labels=tuple(labels), tenant=tenant)
        found = key, frozenset(_words(claims.get(self._issuer.claim)))
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[digest] = found
        return found

    def _claims(self, token: str) -> dict[str, Any]:
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            options = {"require": ["exp", "iss", "aud", "sub"], "verify_exp": False, "verify_nbf": True, "verify_iat": False}
            key = self._key(header.get("kid"))
            found: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[_algorithm(key, header)],
                audience=self._issuer.audience,
                issuer=self._issuer.url,
                options=options,
            )
        except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
            raise Unauthenticated from error
        if isinstance(found["exp"], bool) or not isinstance(found["exp"], int | float):
            raise Unauthenticated
        return found

    def _key(self, kid: str | None) -> Any:
        """The provider's key of that id; the only one there is where a token names none."""
        import jwt

        if kid not in self._keys:
            those = [key for key in self._issuer.keys if kid is None or key.get("kid") == kid]
            if len(those) != 1:
                raise Unauthenticated
            self._keys[kid] = jwt.PyJWK(those[0])
        return self._keys[kid]


def _words(claim: Any) -> list[str]:
    """What a claim lists: as a list, or as a text with spaces."""
    return claim.split() if isinstance(claim, str) else [str(word) for word in claim] if isinstance(claim, list) else []


def _algorithm(key: Any, header: dict[str, Any]) -> str:
    """The algorithm of a token, where it is one of those with public keys and the key is for it. Raises `Unauthenticated`."""
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise Unauthenticated
    fits = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("Ed",)}.get(str(key.key_type), ())
    if not str(algorithm).startswith(fits or ("-",)):
        raise Unauthenticated
    return str(algorithm)
