"""The first thing on a page: what is wrong, since when, how strong, the most likely cause, what to do, and the next command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from noria.evidence.problems import Told, next_command, parted, worst_first
from noria.evidence.tables import day, minute

SHOWN = 4  # findings of an incident, or things to do: the rest stands below on the page


def healthy(words: str, looked_at: str) -> str:
    """That nothing is wrong, in one line, and what was looked at."""
    return f"<div class='todo healthy'><p><b>{escape(words)}</b> <span class='dim'>{escape(looked_at)}</span></p></div>"


def unknown(words: str, why: Iterable[tuple[str, str]]) -> str:
    """That nothing is known to be wrong, and what can't be said, with its reason."""
    told = "".join(f"<li>{escape(name)}: <span class='dim'>{escape(reason)}</span></li>" for name, reason in list(why)[:SHOWN])
    return f"<div class='todo unknown'><p><b>{escape(words)}</b></p><ul>{told}</ul></div>"


def by_incident(findings: Sequence[Told], shown: int = SHOWN) -> str:
    """What is open, or was, each incident by itself, the worst first."""
    known = worst_first(findings)
    groups = dict[str, list[Told]]()
    for finding in known:
        groups.setdefault(finding["incident"] or finding["key"], []).append(finding)
    parts = [_incident(own, known) for own in list(groups.values())[:shown]]
    more = len(groups) - shown
    return "".join(parts) + (f"<p class='dim'>and {more} more incidents: <code>noria findings list</code></p>" if more > 0 else "")


def _incident(own: Sequence[Told], known: Sequence[Told]) -> str:
    worst = own[0]
    if worst["closed_at"] is not None:
        return _box(own, f"<p>Resolved at {minute(worst['closed_at'])}, {escape(_by(worst))}.</p>", "healthy")
    who = f"<p class='dim'>acknowledged by {escape(worst['acknowledged_by'])}</p>" if worst["acknowledged_by"] else ""
    return _box(own, f"{who}<p>Next: <code>{escape(next_command(worst, known))}</code></p>", worst["severity"])


def _by(finding: Told) -> str:
    return "by itself" if finding["closed_by"] in (None, "itself") else f"by {finding['closed_by']}"


def by_fix(findings: Sequence[Told], shown: int = SHOWN) -> str:
    """What is wrong in rows that no project keeps, by what to do about it, the worst first."""
    groups = dict[str, list[Told]]()
    for finding in worst_first(findings):
        groups.setdefault(finding["fix"], []).append(finding)
    more = sum(map(len, list(groups.values())[shown:]))
    parts = [_box(own, "", own[0]["severity"]) for own in list(groups.values())[:shown]]
    return "".join(parts) + (f"<p class='dim'>and {more} more below</p>" if more else "")


def _box(own: Sequence[Told], after: str, severity: str) -> str:
    worst, (what, cause) = own[0], parted(own[0])
    fix = f"<p>Do: <b>{_code(worst['fix'])}</b></p>" if worst.get("fix") else ""
    rest = "".join(f"<li>{escape(_called(f) + parted(f)[0])} <span class='dim'>{escape(_about(f))}</span></li>" for f in own[1:SHOWN])
    rest += f"<li class='dim'>{len(own) - SHOWN} more below</li>" if len(own) > SHOWN else ""
    likely = f"<p>Likely cause: <b>{escape(cause)}</b></p>" if cause else ""
    return (
        f"<div class='todo {severity}'><p class='what'>{escape(_called(worst) + what)}</p><p class='dim'>{escape(_about(worst))}</p>"
        f"{likely}{fix}{after}{f'<ul>{rest}</ul>' if rest else ''}</div>"
    )


def _called(finding: Told) -> str:
    """Whose it is, where a page tells of several models."""
    return f"{finding['model']}: " if finding.get("model") else ""


def _about(finding: Mapping[str, Any]) -> str:
    """Since when, and how strong."""
    since = finding.get("since") or finding["opened_at"]
    when = minute(since) if "T00:00" not in since else day(since)
    strong = f" · {finding['strength']}" if finding.get("strength") else ""
    return f"since {when}{strong}"


def _code(text: str) -> str:
    """Words in which commands stand between backticks."""
    found = escape(text[:1].upper() + text[1:])
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", found)
