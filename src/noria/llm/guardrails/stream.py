"""Answers that come in parts: nothing is sent before the rules saw what it may belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from noria.llm.guardrails.guardrails import Checked, Guardrails
from noria.llm.guardrails.placeholders import OPEN, Restorer
from noria.llm.guardrails.rule import ACTIONS, Action, Context, Decision, Finding

MOST = 2_000  # characters that are held back, unless something is open that ends later
LOOKBACK = 300  # characters before a part that its rules see as well
KEPT = 512  # of an unbroken run that is too long: the end stays, since a key may begin there
LONGEST = 8_000  # even of what is open

# A line's end, or a sentence's: after a word of three letters at least, so that no abbreviation is taken for one, before a capital
END = re.compile(r"\n+(?=[^\n])|(?<=[^\W\d_]{3}[.!?])[ \t]+(?=[A-Z\"'(\[])")
BLANK = re.compile(r"(?<=[^\W\d_]{2}) (?=[^\W\d_]{2})")  # between two words, where no number, card or account goes on
# What goes on over ends of lines and sentences: a key, an element of HTML, a link of Markdown
UNCLOSED = re.compile(
    r"-----BEGIN(?:(?!-----END)[\s\S])*\Z"
    r"|<(?:script|style|iframe|object|svg)\b(?:(?!</(?:script|style|iframe|object|svg)\s*>)[\s\S])*\Z"
    r"|<[!/?a-zA-Z](?:[^<>\"']|\"[^\"]{0,1500}\"|'[^']{0,1500}'){0,1500}(?:\"[^\"]{0,1500}|'[^']{0,1500})?\Z"
    r"|!?\[[^\[\]]{0,1000}(?:\](?:\([^()]{0,2000})?)?\Z",
    re.IGNORECASE,
)


@dataclass
class GuardedStream:
    """An answer in parts, through guardrails.

    What is sent is the same however the answer was cut into parts: it is decided upon by lines and sentences, each with the text before it
    in sight. What may go on beyond the end of a line, such as a key, is held back until it ends. Where a rule needs the whole answer and
    may change or stop it, all is held back until `end`. After a rule has blocked, nothing more is sent.

    restored: values that were redacted from the question are put back
    """

    guardrails: Guardrails
    context: Context = field(default_factory=Context)
    restorer: Restorer | None = None
    restored: bool = True

    _text: str = ""  # of the model, not yet decided upon
    _seen: str = ""  # the end of what was
    _at: int = 0  # where `_text` begins in the answer
    _out: str = ""  # decided upon and redacted, not yet sent: what may become a placeholder
    _decisions: list[Decision] = field(default_factory=list)
    _over: bool = False

    def __post_init__(self) -> None:
        self.restorer = Restorer(()) if self.restorer is None else self.restorer
        self._streams = self.guardrails.streams()
        self._parts = replace(self.guardrails, rules=tuple(rule for rule in self.guardrails.rules if not rule.whole), log=None)
        self._whole = replace(self.guardrails, rules=tuple(rule for rule in self.guardrails.rules if rule.whole), log=None)
        self._answer = list[str]()

    def add(self, part: str) -> str:
        """What may be sent of the answer so far."""
        if self._over:
            return ""
        self._text += part
        sent = list[str]()
        while not self._over and self._streams and (cut := boundary(self._text)):
            sent.append(self._decide(cut))
        return "".join(sent)

    def end(self) -> str:
        """The rest, once the answer is over."""
        if self._over:
            return ""
        rest = self._whole_text() if not self._streams else self._decide(len(self._text), last=True)
        self._over = True
        if self._streams and self._whole.rules:  # they only flag
            self._decisions += self._whole.check("".join(self._answer), "answer", self.context).decisions
        if self.guardrails.log is not None:
            self.guardrails.log(self.checked.to_dict())
        return rest

    @property
    def action(self) -> Action:
        return max((each.action for each in self._decisions), key=ACTIONS.index, default="allow")

    @property
    def blocked(self) -> bool:
        return self.action == "block"

    @property
    def checked(self) -> Checked:
        """What was decided so far, with places in the whole answer: a rule's strictest action first; its text was sent already."""
        return Checked("", "answer", tuple(_joined(self._decisions)), self.guardrails.version, self.context.tenant)

    def _decide(self, size: int, last: bool = False) -> str:
        unit, self._text = self._text[:size], self._text[size:]
        context, before = replace(self.context, before=self._seen), len(self._seen)
        found = self._parts.check(self._seen + unit, "answer", context)
        decisions = [_moved(each, self._at - before, self._at) for each in found.decisions]
        self._decisions += [each for each in decisions if each.found or each.action == "allow" or each.reason == "rule_failed"]
        if any(each.action == "block" for each in self._decisions):
            self._over = True
            if self.guardrails.log is not None:
                self.guardrails.log(self.checked.to_dict())
            return ""
        assert self.restorer is not None
        spans = [
            replace(each, at=each.at - self._at, end=each.end - self._at)
            for decision in decisions
            if decision.action == "redact"
            for each in decision.found
        ]
        self._at += size
        self._seen = (self._seen + unit)[-LOOKBACK:]
        clean = self.restorer.redact(unit, spans, "answer")
        self._answer.append(clean)
        return self._sent(clean, last)

    def _whole_text(self) -> str:
        found = self.guardrails.__class__(self.guardrails.rules).check(self._text, "answer", self.context, self.restorer)
        self._decisions += found.decisions
        return "" if found.blocked else self._sent(found.text, last=True)

    def _sent(self, text: str, last: bool) -> str:
        """What may go out: with its placeholders restored, and without the beginning of one."""
        self._out += text
        held = None if last else OPEN.search(self._out)
        cut = held.start() if held else len(self._out)
        sent, self._out = self._out[:cut], self._out[cut:]
        assert self.restorer is not None
        return self.restorer.restore(sent) if self.restored else sent


def boundary(text: str) -> int:
    """Where the first part of a text ends that can be decided upon by itself; 0: not yet. The same whatever comes after it."""
    opened = _opened(text[:MOST])
    for found in END.finditer(text):
        if found.end() > min(MOST, opened):  # what is open there is open before as well
            break
        if _opened(text[: found.end()]) == found.end():
            return found.end()
    if len(text) <= MOST:
        return 0
    for found in reversed([*BLANK.finditer(text, 0, min(opened, MOST))][-5:]):
        if _opened(text[: found.end()]) == found.end():
            return found.end()
    if _opened(text[:LONGEST]) >= MOST:
        ends = sorted(found.end() for border in (END, BLANK) for found in border.finditer(text, MOST - 4) if found.end() > MOST)
        for end in ends:
            if end <= LONGEST and _opened(text[:end]) == end:
                return end
    return LONGEST - KEPT if len(text) > LONGEST else 0


def _opened(text: str) -> int:
    """Where something begins that goes on beyond the text's end; the end itself: nothing does."""
    found = UNCLOSED.search(text)
    return len(text) if found is None else found.start()


def _moved(decision: Decision, by: int, least: int) -> Decision:
    """With places in the whole answer, and without what lies wholly in text that was decided upon before."""
    found = tuple(
        Finding(max(each.at + by, least), each.end + by, each.kind, each.score) for each in decision.found if each.end + by > least
    )
    if found == () and decision.found:
        return replace(decision, action="allow", reason="", found=(), score=0.0)
    return replace(decision, found=found)


def _joined(decisions: list[Decision]) -> list[Decision]:
    """One for each rule: the strictest action, all that was found, and the time that it took in all."""
    by_rule: dict[str, Decision] = {}
    for each in decisions:
        known = by_rule.get(each.rule)
        if known is None:
            by_rule[each.rule] = each
            continue
        strictest = max(known, each, key=lambda one: (ACTIONS.index(one.action), one.score))
        by_rule[each.rule] = replace(
            strictest,
            found=known.found + each.found,
            score=max(known.score, each.score),
            seconds=known.seconds + each.seconds,
            late=known.late or each.late,
        )
    return list(by_rule.values())
