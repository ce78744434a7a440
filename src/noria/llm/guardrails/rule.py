"""The port of rules: what is looked at, what was found in it, and what is to be done about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Protocol, get_args

from noria.core.clock import Stopwatch
from noria.core.errors import OutsideWorld, UserMistake, nearest

Where = Literal["question", "chunk", "answer"]
Action = Literal["allow", "flag", "redact", "block"]
OnError = Literal["open", "closed"]
ACTIONS: tuple[Action, ...] = get_args(Action)  # from the mildest to the strictest
EVERYWHERE: tuple[Where, ...] = get_args(Where)


class BadRule(UserMistake):
    """A guardrail is declared with settings that can't be."""

    code = "NR-840"

    def __init__(self, rule: str, why: str, fix: str) -> None:
        self.rule = rule
        super().__init__(what=why, where=f"the guardrail {rule!r}", fix=fix)


class RuleFailed(OutsideWorld):
    """A guardrail could not decide: what it asks is away, too slow, or answers with something else."""

    code = "NR-842"

    def __init__(self, rule: str, reason: str) -> None:
        self.rule = rule
        super().__init__(
            what=f"the guardrail {rule!r} could not decide",
            where=reason,
            fix="see to what it asks; until then its `on_error` holds: open lets the text pass, closed blocks it",
        )


@dataclass(frozen=True)
class Finding:
    """A part of a text, from the offset `at` to before `end`, and what it is. It never holds the part itself: logs have findings.

    kind: such as `email`, the same from one version to the next; score: 0 to 1, how sure the rule is
    """

    at: int
    end: int
    kind: str
    score: float = 1.0


@dataclass(frozen=True)
class Decision:
    """What a rule says of a text. reason: the kind of what was found, or `rule_failed`; failed: the error's code or class, where it is that

    score: of the surest finding; of a rule with a classifier, also where it lies below the threshold; late: it took longer than its limit
    """

    rule: str
    action: Action
    reason: str = ""
    found: tuple[Finding, ...] = ()
    score: float = 0.0
    version: str = ""
    seconds: float = 0.0
    failed: str = ""
    late: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As a log has it: where something stands and what it is, never what it says."""
        told = {
            "rule": self.rule,
            "version": self.version,
            "action": self.action,
            "reason": self.reason,
            "score": round(self.score, 4),
            "found": [{"at": each.at, "end": each.end, "kind": each.kind, "score": round(each.score, 4)} for each in self.found],
            "seconds": round(self.seconds, 6),
        }
        return told | ({"failed": self.failed} if self.failed else {}) | ({"late": True} if self.late else {})


@dataclass(frozen=True)
class Context:
    """What a rule may know beside the text. chunks: what the generator was given; before: text that stands before, and was decided upon"""

    tenant: str = ""
    question: str = ""
    chunks: Sequence[str] = ()
    before: str = ""


class Rule(Protocol):
    """What decides upon a text.

    places: where it looks; on_error: whether a text passes where it can't decide; time_limit: seconds
    waits: it asks something outside this process, so that it is stopped at its limit and sees a text only after redactions
    whole: it needs the complete text, so that an answer can't be streamed before it has decided
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def places(self) -> tuple[Where, ...]: ...
    @property
    def on_error(self) -> OnError: ...
    @property
    def time_limit(self) -> float: ...
    @property
    def waits(self) -> bool: ...
    @property
    def whole(self) -> bool: ...

    def check(self, text: str, where: Where, context: Context) -> Decision: ...

    def definition(self) -> dict[str, Any]:
        """Its settings as plain data without secrets: a bundle has them."""
        ...


@dataclass(frozen=True, kw_only=True)
class DeclaredRule:
    """A rule that is its settings and `find`. action: what is done where something was found

    A field whose name begins with `port_` is a model, of which the definition has its own definition.
    """

    rule: ClassVar[str]
    version: ClassVar[str] = "1"
    waits: ClassVar[bool] = False
    whole: ClassVar[bool] = False

    action: Action = "block"
    places: tuple[Where, ...] = EVERYWHERE
    on_error: OnError = "closed"
    time_limit: float = 1.0

    @property
    def name(self) -> str:
        return self.rule

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), list) and not field.name.startswith("port_"):
                object.__setattr__(self, field.name, tuple(value))  # as JSON has it: a list
        _require(self.name, "action", self.action, ACTIONS[1:])
        _require(self.name, "on_error", self.on_error, get_args(OnError))
        for place in self.places:
            _require(self.name, "places", place, EVERYWHERE)
        if not self.places:
            raise BadRule(self.name, "it looks nowhere", f"name at least one of {', '.join(EVERYWHERE)} in `places`")
        if not 0 < self.time_limit < float("inf"):
            raise BadRule(self.name, f"a time limit of {self.time_limit!r} s can't be kept", "give seconds above 0")

    def find(self, text: str, where: Where, context: Context, /) -> Sequence[Finding]:
        """What stands in the text that should not."""
        raise NotImplementedError  # of each rule

    def check(self, text: str, where: Where, context: Context) -> Decision:
        watch = Stopwatch()
        found = tuple(self.find(text, where, context))
        if not found:
            return Decision(self.name, "allow", version=self.version, seconds=watch.seconds)
        surest = max(found, key=lambda finding: finding.score)
        return Decision(self.name, self.action, surest.kind, found, surest.score, self.version, watch.seconds)

    def definition(self) -> dict[str, Any]:
        told: dict[str, Any] = {"rule": self.rule, "version": self.version}
        for field in fields(self):
            value = getattr(self, field.name)
            if not field.name.startswith("port_"):
                told[field.name] = _plain(value)
            elif value is not None:
                told[field.name] = value.definition()
        return told


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple | frozenset) else value


def _require(rule: str, name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise BadRule(rule, f"{name} can't be {value!r}{nearest(str(value), known)}", f"use one of {', '.join(known)}")
