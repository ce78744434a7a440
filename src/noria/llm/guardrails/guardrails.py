"""Rules in order, what they decide together, and the text that may go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from noria.core.clock import Stopwatch
from noria.core.errors import NoriaError, UserMistake, nearest
from noria.core.ids import digest
from noria.llm.guardrails.placeholders import Restorer
from noria.llm.guardrails.rule import ACTIONS, Action, BadRule, Context, Decision, Rule, RuleFailed, Where

Log = Callable[[dict[str, Any]], None]


class Blocked(UserMistake):
    """A guardrail stopped a question or an answer."""

    code = "NR-841"
    http_status = 422

    def __init__(self, decision: Decision, where: Where) -> None:
        self.decision = decision
        super().__init__(
            what=f"the {where} is not allowed here: {decision.reason.replace('_', ' ')}",
            where=f"the guardrail {decision.rule!r}, version {decision.version}",
            fix="say it in other words; who runs the application sees the decision in its log",
        )


@dataclass(frozen=True)
class Checked:
    """What became of a text. text: with its redactions; empty where it is blocked

    decisions: of the rules that looked at it, in the order in which they did; after one that blocks, no other does
    version: of the guardrails
    """

    text: str
    where: Where
    decisions: tuple[Decision, ...]
    version: str = ""
    tenant: str = ""

    @property
    def action(self) -> Action:
        """The strictest that a rule asked for."""
        return max((each.action for each in self.decisions), key=ACTIONS.index, default="allow")

    @property
    def blocked(self) -> bool:
        return self.action == "block"

    def require(self) -> str:
        """The text. Raises `Blocked`."""
        for each in self.decisions:
            if each.action == "block":
                raise Blocked(each, self.where)
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """As a log has it, without a word of the text."""
        return {
            "where": self.where,
            "action": self.action,
            "tenant": self.tenant,
            "version": self.version,
            "decisions": [each.to_dict() for each in self.decisions],
        }


@dataclass(frozen=True)
class Guardrails:
    """Rules, which look in this order. log: is told each decision as plain data; the serving stage writes it beside the prediction

    Rules of this process look first, at the text as it is; those that ask something outside see it with the redactions of the others.
    """

    rules: tuple[Rule, ...] = ()
    log: Log | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise BadRule(name, "it is declared twice", "declare it once, with all of its settings")

    def check(self, text: str, where: Where, context: Context | None = None, restorer: Restorer | None = None) -> Checked:
        """What the rules say of a text. restorer: keeps what placeholders stand for; left out, nothing can be put back"""
        context, restorer = context or Context(), Restorer(()) if restorer is None else restorer
        asked = [rule for rule in self.rules if where in rule.places]
        decisions = list[Decision]()
        for waits in (False, True):
            these = list(_decided([rule for rule in asked if rule.waits == waits], text, where, context))
            decisions += these
            if any(each.action == "block" for each in these):
                text = ""
                break
            text = restorer.redact(text, [finding for each in these if each.action == "redact" for finding in each.found], where)
        checked = Checked(text, where, tuple(decisions), self.version, context.tenant)
        if self.log is not None:
            self.log(checked.to_dict())
        return checked

    def redacts(self, where: Where) -> bool:
        """Whether a rule takes something out of such texts."""
        return any(where in rule.places and getattr(rule, "action", "") == "redact" for rule in self.rules)

    def redacted(self, text: str, where: Where, context: Context | None = None) -> str:
        """A text as it may be written down: with all redactions, whatever other rules say of it; empty where a rule that redacts can't."""
        rules = [rule for rule in self.rules if where in rule.places and getattr(rule, "action", "") == "redact"]
        decisions = [decided(rule, text, where, context or Context()) for rule in rules]
        if any(each.action == "block" for each in decisions):
            return ""
        return Restorer(()).redact(text, [finding for each in decisions for finding in each.found], where)

    def check_chunks(self, texts: Sequence[str], context: Context | None = None, restorer: Restorer | None = None) -> list[Checked]:
        """The same for each of the chunks that were found. Those that are blocked are left out of what a generator is given."""
        return [self.check(text, "chunk", context, restorer) for text in texts]

    def streams(self) -> bool:
        """Whether answers can be sent before they are complete: no rule that may stop or change them needs the whole."""
        return not any(rule.whole and "answer" in rule.places and getattr(rule, "action", "block") != "flag" for rule in self.rules)

    def changed(self, changes: Mapping[str, Mapping[str, Any] | None]) -> Guardrails:
        """Others with some settings changed, by the rule's name; None: without that rule. Raises `BadRule`."""
        names = [rule.name for rule in self.rules]
        for name in changes:
            if name not in names:
                raise BadRule(
                    name, f"there is no such rule{nearest(name, names)}", f"change one of {', '.join(names) or 'none: there are no rules'}"
                )
        kept = [_changed(rule, changes.get(rule.name, {})) for rule in self.rules]
        return replace(self, rules=tuple(rule for rule in kept if rule is not None))

    def definition(self) -> dict[str, Any]:
        """All settings, as a bundle has them: thresholds, what is done, and where errors lead."""
        return {"rules": [rule.definition() for rule in self.rules]}

    @cached_property
    def version(self) -> str:
        """Of all settings: another threshold is another version."""
        return digest(self.definition())[:16]


def _changed(rule: Rule, change: Mapping[str, Any] | None) -> Rule | None:
    if change is None or not change:
        return None if change is None else rule
    known = [field.name for field in fields(rule)]  # type: ignore[arg-type]
    for name in change:
        if name not in known:
            raise BadRule(rule.name, f"it has no setting {name!r}{nearest(name, known)}", f"change one of {', '.join(known)}")
    return replace(rule, **change)  # type: ignore[type-var]


def _decided(rules: Sequence[Rule], text: str, where: Where, context: Context) -> Iterator[Decision]:
    """Their decisions, up to the first that blocks."""
    for rule in rules:
        decision = decided(rule, text, where, context)
        yield decision
        if decision.action == "block":
            return


def decided(rule: Rule, text: str, where: Where, context: Context) -> Decision:
    """What a rule says, or what its `on_error` says where it can't: never an error."""
    watch = Stopwatch()
    try:
        decision = _within(rule, text, where, context) if rule.waits else rule.check(text, where, context)
    except NoriaError as error:
        return _failed(rule, error.code, watch.seconds)
    except Exception as error:  # noqa: BLE001 - whatever a rule does, the text is decided upon
        return _failed(rule, type(error).__name__, watch.seconds)
    return replace(decision, late=True) if watch.seconds > rule.time_limit else decision


def _failed(rule: Rule, failed: str, seconds: float) -> Decision:
    action: Action = "block" if rule.on_error == "closed" else "flag"
    return Decision(rule.name, action, "rule_failed", version=rule.version, seconds=seconds, failed=failed)


def _within(rule: Rule, text: str, where: Where, context: Context) -> Decision:
    """Its decision within its time limit. Raises `RuleFailed` after it; the thread that waits ends with what it asked."""
    answers = list[Decision | Exception]()

    def asked() -> None:
        try:
            answers.append(rule.check(text, where, context))
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits for it
            answers.append(error)

    thread = threading.Thread(target=asked, name=f"guardrail-{rule.name}", daemon=True)
    thread.start()
    thread.join(rule.time_limit)
    if not answers:
        raise RuleFailed(rule.name, f"it did not decide within {rule.time_limit:g} s")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]
