"""Insults, threats and obscenities, by a small list of words and whom they are said of.

Weak, and meant as a floor: it knows some hundred English words in plain or disguised spelling, and neither irony nor other languages nor
contempt in polite words. Give `Judged` a generator where it matters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from noria.llm.guardrails.plain_text import LEET, folded
from noria.llm.guardrails.rule import Context, DeclaredRule, Finding, Where

OBSCENE = (
    "fuck\\w* motherfuck\\w* shit(?:ty|head|s)? bullshit bitch(?:es|y)? cunt\\w* asshole\\w* "
    "arsehole\\w* dickhead\\w* cocksuck\\w* wank(?:er|ers)? twat\\w* bastard\\w* "
    "whore\\w* slut\\w* dipshit\\w* jackass\\w* prick douchebag\\w* bollocks pissed piss goddamn"
)
INSULTS = (
    "idiot moron imbecile stupid dumb(?:ass)? retard(?:ed)? loser pathetic worthless scum(?:bag)? trash "
    "garbage vermin pig rat clown fool useless disgusting ugly "
    "filth(?:y)? parasite cockroach brainless incompetent freak creep degenerate subhuman"
)
_OBSCENE = re.compile(rf"\b(?:{'|'.join(OBSCENE.split())})\b")
_ABOUT = re.compile(
    rf"\b(?:you(?:'re| are|r| were)?|u r|ur|he is|she is|they are|he's|she's|they're|these people|those "
    rf"people|such an?|what an?|all \w+ are|\w+s "
    rf"are)\s+(?:\w+\s+){{0,3}}?(?:{'|'.join(INSULTS.split())})s?\b"
    rf"|\b(?:{'|'.join(INSULTS.split())})s?\s+like (?:you|her|him|them)\b|\byou (?:\w+ ){{0,2}}(?:{'|'.join(INSULTS.split())})s?\b"
)
_THREAT = re.compile(
    r"\b(?:i(?:'ll| will|'m going to| am going to|'m gonna| wanna| want to)|we(?:'ll| will)|somebody "
    r"should|someone should|they should)\s+(?:\w+ ){0,2}?"
    r"(?:kill|murder|shoot|stab|strangle|hurt|rape|beat|hang|burn|destroy|hunt)\s+(?:(?:him|her|them|you|your|those|these|all)\b)"
    r"|\b(?:kill yourself|kys|go die|drop dead|hope you die|deserve(?:s)? to (?:die|be shot|be hanged"
    r"|suffer)|should (?:all )?(?:die|be shot|be hanged|be gassed))\b"
)
_HARMLESS = re.compile(
    r"\b(?:(?:idiot|fool)[- ]proof|dumb (?:terminal|pipe|question|luck)|dumb down|garbage collect\w*"
    r"|stupid question|trash (?:folder|can|bin)"
    r"|useless (?:use of|variable|import|parameter|code)|(?:kill|hang) (?:him|her|them|it)? ?(?:process"
    r"|job|server|signal)|burn (?:them|it)? ?(?:in|down))\b"
)


@dataclass(frozen=True, kw_only=True)
class Toxicity(DeclaredRule):
    """Finds obscenities, insults of somebody, and threats. kinds: of these"""

    rule: ClassVar[str] = "toxicity"
    kinds: tuple[str, ...] = ("obscene", "insult", "threat")

    def find(self, text: str, _where: Where, _context: Context) -> Sequence[Finding]:
        plain = folded(text)
        found = list[Finding]()
        for view in dict.fromkeys((plain, plain.translate(LEET), re.sub(r"(\w)[*._-](?=\w)", r"\1", plain))):
            harmless = [match.span() for match in _HARMLESS.finditer(view)]
            for kind, pattern, score in (("obscene", _OBSCENE, 0.9), ("insult", _ABOUT, 0.7), ("threat", _THREAT, 0.9)):
                if kind not in self.kinds:
                    continue
                for match in pattern.finditer(view):
                    if not any(at < match.end() and match.start() < end for at, end in harmless):
                        same = len(view) == len(text)
                        found.append(Finding(match.start() if same else 0, match.end() if same else len(text), kind, score))
        return found
