"""Keys, tokens and passwords, by the marks of those who give them out, by their format, and by what they are assigned to.

Not detect-secrets: it reads files by line, tells no places within one, and its verifiers ask the network.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from noria.llm.guardrails.placeholders import merged
from noria.llm.guardrails.plain_text import visible
from noria.llm.guardrails.rule import Action, Context, DeclaredRule, Finding, Where

# What the issuers' documentation says of the form of their keys
ISSUED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{50,255}"
    r"|gl(?:pat|dt|rt|ptt|soat|cbt)-[\w-]{20,64}"  # GitLab
    r"|xox[abeoprs]-[\w-]{10,250}|xapp-\d-[\w-]{20,250}"  # Slack
    r"|(?:sk|rk|whsec)_(?:live|test|[A-Za-z0-9])[\w]{16,250}"  # Stripe
    r"|sk-(?:proj-|svcacct-|admin-|ant-[a-z]{2,8}\d\d-|or-v1-)?[\w-]{20,250}"  # OpenAI, Anthropic, OpenRouter
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,250}|GOCSPX-[\w-]{20,40}"  # Google
    r"|hf_[A-Za-z]{30,40}|gsk_[A-Za-z0-9]{40,60}|r8_[A-Za-z0-9]{37}|pplx-[A-Za-z0-9]{40,60}"
    r"|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,250}|dckr_pat_[\w-]{20,40}"
    r"|SG\.[\w-]{16,32}\.[\w-]{32,64}|key-[0-9a-f]{32}|(?:AC|SK)[0-9a-f]{32}"  # SendGrid, Mailgun, Twilio
    r"|do[opr]_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}(?:-\d)?|sh(?:pat|pca|ppa|pss)_[0-9a-fA-F]{32}|NRAK-[A-Z0-9]{27}|hv[sbr]\.[\w-]{20,250}"
    r"|\d{8,10}:AA[\w-]{32,35}"  # Telegram
    r"|eyJ[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]{8,1000}"  # JSON Web Token, RFC 7519
    r"|sk_[A-Za-z0-9]{32,64}|AGE-SECRET-KEY-1[A-Z0-9]{58}"
    r")(?![A-Za-z0-9])"
)
PEM = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END)[\s\S]){0,20000}(?:-----END "
    r"(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?"
)
URL_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]{1,30}://[^\s/:@'\"<>]{0,100}:(?P<value>[^\s/@'\"<>]{3,200})@[\w.-]{1,200}", re.IGNORECASE)
FIELD = re.compile(r"\b(?:AccountKey|SharedAccessKey|Password|Pwd)\s?=\s?(?P<value>[^\s;'\"]{6,200})")  # of connection strings
HEADER = re.compile(r"\bAuthorization\s*[:=]\s*['\"]?(?:Bearer|Basic|Token)\s+(?P<value>[\w.~+/=-]{12,1000})", re.IGNORECASE)
ASSIGNED = re.compile(
    r"(?P<name>(?:passw(?:or)?d|passwort|contrase[ñn]a|mot de passe|wachtwoord|passphrase"
    r"|secret|api[ _-]?key|apikey|access[ _-]?key|auth[ _-]?token"
    r"|access[ _-]?token|refresh[ _-]?token|client[ _-]?secret|private[ _-]?key|token|credential)[\w.-]{0,20})"
    r"['\"`*]{0,3}\s{0,3}(?:=>|:=|=|:|\bis\b|\bist\b|\best\b|\bes\b)\s{0,3}(?P<quote>['\"`]{0,3})(?P<value>[^\s'\"`,;<>{}()\[\]]{6,300})",
    re.IGNORECASE,
)
BARE = re.compile(r"(?<![\w/+.=-])[A-Za-z0-9+/_-]{32,200}={0,2}(?![\w/+=-])")  # judged by its entropy
AWS_SECRET = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
NOT_A_VALUE = re.compile(
    r"\A(?:x{3,}|\*{3,}|\.{3,}|\$\{?\w|%\(?\w|your|my[-_]|example|change|redacted|none|null|true|false"
    r"|secret|password|token|env|os\.|process\.|str\b|string|required"
    r"|optional|missing|invalid|expired|wrong|placeholder|todo|\[[A-Z_]+_\d|self\.|config|settings|get|read|load|this|that|the|not)",
    re.IGNORECASE,
)
STRONG_NAME = re.compile(r"passw|passphrase|pwd|contrase|mot de passe|wachtwoord", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Secrets(DeclaredRule):
    """Finds credentials, and redacts them unless declared otherwise; they are never put back.

    entropy: bits a character from which an assigned value counts (Shannon, of its own characters); bare: whether long random runs that are
        assigned to nothing count too, which takes hashes and identifiers for keys
    """

    rule: ClassVar[str] = "secrets"
    action: Action = "redact"
    entropy: float = 3.0
    bare: bool = False

    def find(self, text: str, _where: Where, _context: Context) -> Sequence[Finding]:
        seen, places = visible(text)
        found = merged(self._all(seen))
        if places is not None:
            found = [Finding(places[each.at], places[each.end], each.kind, each.score) for each in found]
        return found

    def _all(self, text: str) -> Iterator[Finding]:
        for kind, pattern in (("secret", ISSUED), ("private_key", PEM)):
            for found in pattern.finditer(text):
                if kind != "secret" or _is_issued(found[0]):
                    yield Finding(found.start(), found.end(), kind)
        for kind, pattern in (("password", URL_PASSWORD), ("password", FIELD), ("token", HEADER)):
            for found in pattern.finditer(text):
                if not NOT_A_VALUE.match(found["value"]):
                    yield Finding(*found.span("value"), kind, 0.9)
        for found in ASSIGNED.finditer(text):
            if self._is_value(found["name"], found["value"].rstrip(".!?:"), bool(found["quote"])):
                at = found.start("value")
                yield Finding(
                    at, at + len(found["value"].rstrip(".!?:")), "password" if STRONG_NAME.search(found["name"]) else "secret", 0.8
                )
        if self.bare:
            for found in BARE.finditer(text):
                if entropy(found[0]) >= 4.2 and _is_mixed(found[0]):
                    yield Finding(found.start(), found.end(), "secret", 0.5)

    def _is_value(self, name: str, value: str, quoted: bool) -> bool:
        """Whether it looks like a credential and not like a word of a sentence about one."""
        if len(value) < 6 or NOT_A_VALUE.match(value):
            return False
        mixed = _is_mixed(value) or (any(map(str.isdecimal, value)) and any(map(str.isalpha, value)))
        if STRONG_NAME.search(name):
            return mixed or (quoted and not value.isalpha()) or any(not letter.isalnum() and letter not in ".-_'’" for letter in value)
        return len(value) >= 12 and mixed and entropy(value) >= self.entropy and not re.fullmatch(r"[\w-]+(?:\.[A-Za-z_]\w*)+", value)


def entropy(text: str) -> float:
    """Shannon's entropy of its characters, in bits a character."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values()) if text else 0.0


def _is_mixed(text: str) -> bool:
    return any(map(str.islower, text)) and any(map(str.isupper, text)) and any(map(str.isdecimal, text))


def _is_issued(text: str) -> bool:
    """A token that begins as a JSON Web Token is one if its header is JSON; a key is random after its prefix."""
    if text.startswith("eyJ"):
        head = text.split(".")[0]
        try:
            return isinstance(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))), dict)
        except (ValueError, binascii.Error):
            return False
    if text.startswith(("sk-", "key-", "sk_")):
        return any(map(str.isdecimal, text)) and entropy(text) >= 3.0 and not NOT_A_VALUE.match(text[3:])
    return True
