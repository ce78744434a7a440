"""What is wrong, in the same words wherever it is told: `noria status`, lists, pages and JSON take a finding's order, cause, strength and
next command from here.

A finding's words and numbers are those of when it was found, and stay so as long as it is open: people who were alerted find what they were
told. How it goes on is what charts show.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from noria.core.health import Health, Healthy, Unhealthy, Unknown, word
from noria.monitoring.findings import Finding, and_more, gravity, summed_up
from noria.monitoring.monitors.reading import Monitors

MOST = 1000  # times a threshold: beyond, the number says nothing more

Told = Mapping[str, Any]  # a finding as plain data


def worst_first(findings: Iterable[Told]) -> list[Told]:
    """Findings by severity, then by kind, then by when they began."""

    def order(f: Told) -> tuple[tuple[int, int], str]:
        return gravity(f["severity"], f["kind"]), str(f.get("since") or f.get("opened_at"))

    return sorted(findings, key=order)


def reasons(evidence: Mapping[str, Any]) -> dict[str, str | None]:
    """The most likely cause of a finding and how strong it was when it was found, in words; None where its monitor does not say."""
    now, threshold = evidence.get("evidence"), evidence.get("threshold")
    known = isinstance(now, float | int) and isinstance(threshold, float | int) and threshold > 0
    return {"cause": evidence.get("looks_like"), "strength": strength(float(now), float(threshold)) if known else None}  # type: ignore[arg-type]


def strength(evidence: float, threshold: float) -> str:
    """How strong evidence is, against the threshold of an alarm."""
    share = evidence / threshold
    if share < 1:
        return "under 1% of the threshold" if share < 0.01 else f"{min(share, 0.99):.0%} of the threshold"
    return f"over {MOST:,} times the threshold" if share > MOST else f"{share:.{1 if share < 10 else 0}f} times the threshold"


def parted(finding: Told) -> tuple[str, str | None]:
    """What a finding says, and its most likely cause apart from it."""
    summary, cause = str(finding["summary"]), finding.get("cause")
    for words in (f"; likely cause: {cause}", f"; it looks like a {cause}", f"; it looks like an {cause}"):
        summary = summary.removesuffix(words)
    return summary, cause


def incidents(findings: Iterable[Told]) -> list[dict[str, Any]]:
    """What is open, by incident, the worst first: its gravest finding, how many there are, and the command to type next."""
    known = list({f["key"]: f for f in findings if f["closed_at"] is None}.values())
    found = dict[str, dict[str, Any]]()
    for finding in worst_first(known):
        incident = finding["incident"] or finding["key"]
        if incident not in found:
            found[incident] = {
                "incident": incident,
                **{name: finding[name] for name in ("endpoint", "severity", "summary", "cause", "strength", "fix", "acknowledged_by")},
                "since": finding["since"] or finding["opened_at"],
                "findings": 0,
                "next": next_command(finding, known),
            }
        found[incident]["findings"] += 1
    return list(found.values())


def next_command(finding: Told, known: Iterable[Told]) -> str:
    """What to type about an open finding, by the shortest name that means it alone among those that are open."""
    subject, key = finding["subject"], finding["key"]
    meant = [f for f in known if f["closed_at"] is None and (f["subject"] == subject or f["key"].startswith(subject))]
    name = shlex.quote(subject if len(meant) == 1 and subject else key)
    return f"noria findings {'resolve' if finding['acknowledged_by'] else 'ack'} {name}"


def told_monitors(monitors: Monitors, open_findings: Sequence[Told]) -> list[dict[str, Any]]:
    """Every monitor with its health; an unhealthy one in the words of its open findings, the worst first."""
    return [{"monitor": name, **health_dict(_told(health, found, open_findings))} for name, health, found in monitors.told()]


def _told(health: Health, found: Sequence[Finding], open_findings: Sequence[Told]) -> Health:
    """A health in the words of its findings: as they were opened, or as they will be."""
    if not isinstance(health, Unhealthy) or not found:
        return health
    subjects = {(f.kind, f.subject) for f in found}
    known = worst_first(f for f in open_findings if f["closed_at"] is None and (f["kind"], f["subject"]) in subjects)
    return Unhealthy(and_more([str(f["summary"]) for f in known]) if known else summed_up(found))


def health_dict(health: Health) -> dict[str, Any]:
    """A health as plain data."""
    match health:
        case Healthy(evidence=evidence):
            return {"health": word(health), "evidence": dict(evidence)}
        case Unhealthy(cause=cause):
            return {"health": word(health), "cause": cause}
        case Unknown(why=why):
            return {"health": word(health), "why": why}


def said(monitor: Told) -> str:
    """Why a monitor is as it is: its cause or reason, or how near it is to its threshold and what else it saw."""
    if monitor["health"] != "healthy":
        return str(monitor.get("cause") or monitor.get("why"))
    evidence = dict(monitor["evidence"])
    value, threshold = evidence.pop("evidence", None), evidence.pop("threshold", None)
    near = [strength(value, threshold)] if value is not None and threshold else []
    rest = [f"{name.replace('_', ' ')} {each if isinstance(each, str) else f'{each:,.4g}'}" for name, each in evidence.items()]
    return ", ".join([*near, *rest]) or "healthy"
