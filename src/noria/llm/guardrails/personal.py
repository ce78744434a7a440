"""Personal data: e-mail addresses, telephones, accounts, cards, national numbers, network addresses, birth dates, names and addresses.

Numbers with check digits count only where these are right. Names and addresses are found beside words that announce them ("my name is",
"Mrs", a street's ending), and by nothing else: a name by itself is not found. Give an analyzer of Presidio for that: `port_analyzer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from noria.core.errors import nearest
from noria.llm.guardrails.personal_patterns import KINDS, PATTERNS
from noria.llm.guardrails.placeholders import merged
from noria.llm.guardrails.plain_text import visible
from noria.llm.guardrails.rule import Action, BadRule, Context, DeclaredRule, Finding, Where


@dataclass(frozen=True, kw_only=True)
class PersonalData(DeclaredRule):
    """Finds personal data, and redacts it unless declared otherwise.

    kinds: those that are looked for; least: the score from which they count
    port_analyzer: finds more, such as names by themselves; see `noria.llm.guardrails.presidio`
    """

    rule: ClassVar[str] = "personal_data"
    action: Action = "redact"
    kinds: tuple[str, ...] = KINDS
    least: float = 0.5
    port_analyzer: Analyzer | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in self.kinds:
            if kind not in KINDS:
                raise BadRule(self.name, f"there is no kind {kind!r}{nearest(kind, KINDS)}", f"use some of {', '.join(KINDS)}")

    def find(self, text: str, _where: Where, _context: Context) -> Sequence[Finding]:
        seen, places = visible(text)
        found = [
            Finding(at, end, pattern.kind, pattern.score)
            for pattern in PATTERNS
            if pattern.kind in self.kinds and pattern.score >= self.least
            for at, end in pattern.findings(seen)
        ]
        if self.port_analyzer is not None:
            found += [each for each in self.port_analyzer(seen) if each.score >= self.least]
        if places is not None:
            found = [Finding(places[each.at], places[each.end], each.kind, each.score) for each in found]
        return merged(found)


class Analyzer:
    """Another finder of personal data, with a definition. find: text -> findings"""

    def __init__(self, name: str, find: Callable[[str], Sequence[Finding]]) -> None:
        self._name, self._find = name, find

    def __call__(self, text: str) -> Sequence[Finding]:
        return self._find(text)

    def definition(self) -> dict[str, str]:
        return {"analyzer": self._name}
