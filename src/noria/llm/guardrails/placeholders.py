"""Placeholders such as `[EMAIL_1]`: the same value has the same one, and what they stand for is kept in memory alone."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from noria.llm.guardrails.rule import Finding, Where

PLACEHOLDER = re.compile(r"\[[A-Z][A-Z_]{0,40}_\d{1,6}\]")
OPEN = re.compile(r"\[(?:[A-Z][A-Z_]{0,40}(?:\d{1,6})?)?\Z")  # the end of a text that may become one
NEVER = frozenset({"secret", "private_key", "token", "password", "link", "image", "markup", "script"})  # kinds that are not put back


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Findings without overlaps, in order: of those that overlap the whole extent, with the kind of the surest, then of the longest."""
    kept = list[Finding]()
    for each in sorted(findings, key=lambda finding: (finding.at, -finding.end)):
        if kept and each.at < kept[-1].end:
            last = kept[-1]
            best = max(last, each, key=lambda finding: (finding.score, finding.end - finding.at))
            kept[-1] = Finding(last.at, max(last.end, each.end), best.kind, best.score)
        elif each.end > each.at:
            kept.append(each)
    return kept


@dataclass(repr=False)
class Restorer:
    """What the placeholders of one conversation stand for. It is never written: it can't be pickled, and does not show its values.

    restorable: where a value must have been met to be put back into an answer. A value from a chunk is not the asker's own, so that
        whoever writes `[EMAIL_1]` into a question can't read it; secrets and links are never put back
    """

    restorable: tuple[Where, ...] = ("question",)
    _of: dict[tuple[str, str], str] = field(default_factory=dict)
    _values: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def redact(self, text: str, findings: Iterable[Finding], where: Where) -> str:
        """The text with placeholders in place of what was found."""
        parts, after = list[str](), 0
        taken = set(PLACEHOLDER.findall(text))  # the writer's own words are never taken for a placeholder of ours
        with self._lock:
            for each in merged(findings):
                parts += [text[after : each.at], self._placeholder(text[each.at : each.end], each.kind, where, taken)]
                after = each.end
        return "".join([*parts, text[after:]])

    def restore(self, text: str) -> str:
        """The text with the values that may be put back."""
        return PLACEHOLDER.sub(lambda found: self._values.get(found[0], found[0]), text)

    def __len__(self) -> int:
        return len(self._of)

    def __repr__(self) -> str:
        return f"Restorer({len(self)} placeholders)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("what placeholders stand for stays in this process")

    def _placeholder(self, value: str, kind: str, where: Where, taken: set[str]) -> str:
        key = kind, value
        if key not in self._of:
            stem = re.sub("[^A-Z]+", "_", kind.upper()).strip("_") or "TEXT"
            number = 1 + sum(known[0] == kind for known in self._of)
            while (name := f"[{stem}_{number}]") in taken or name in self._of.values():
                number += 1
            self._of[key] = name
        if where in self.restorable and kind not in NEVER:
            self._values[self._of[key]] = value
        return self._of[key]
