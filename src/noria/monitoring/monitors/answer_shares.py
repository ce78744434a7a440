"""Shares of answers in words that need no outcome: unanswered, missed by the retrieval, blocked, cut."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import ClassVar, Self

from noria.core.health import Health
from noria.evaluation.answer_counts import counts_to
from noria.monitoring.answers.shares import SHARES, Counted, ShareReading, read_share, share_of
from noria.monitoring.findings import Finding, Kind, began
from noria.monitoring.monitors.drift import InputDrift
from noria.monitoring.monitors.reading import At, monitor
from noria.monitoring.recorded import answered_rows
from noria.stores.answer_counts import AnswerCounts
from noria.stores.windows import answers_by_window

ANSWERS: Kind = "answers"
NAMED = 3  # predictions that a finding names
FIXES = {
    "missed": "see what was asked: `noria explain ID`; add the documents that are missing, or check that the index has them all",
    "written": "see what was found and answered: `noria explain ID`; check the prompt and the generator, since sources were found",
    "blocked": "see which guardrail: `noria explain ID`; an attack, or a rule that is too strict",
    "cut": "raise the answers' greatest length, or look what makes them long: `noria explain ID`",
}


@monitor(rank=65)
@dataclass(frozen=True)
class AnswerShares:
    """Every declared share of the champion's answers, against those of the release's own."""

    name: ClassVar[str] = "answers"
    readings: tuple[ShareReading, ...]
    missed: Mapping[datetime, int]
    reference: AnswerCounts
    at: At | None = None

    @classmethod
    def read(cls, at: At) -> Self | None:
        if not at.monitor.answers:
            return None
        champion, stores = at.release.champion, at.context.stores
        drawn = answers_by_window(stores.catalog, at.context.endpoint.name, at.release.champion_since)
        mine = [(start, counts.answers) for start, bundle, counts in drawn if bundle == champion and counts.answers is not None]
        own, threshold = stores.candidate_detail(champion).answers, at.context.threshold(at.monitor.metric_budget)
        readings = [
            read_share(
                share,
                [(getattr(window, share.name), window.answers) for window in own],
                [Counted(start, getattr(counts, share.name), counts.answers) for start, counts in mine],
                threshold,
            )
            for share in at.monitor.answers
        ]
        totals = AnswerCounts(sum(w.answers for w in own), sum(w.unanswered for w in own), sum(w.missed for w in own))
        return cls(tuple(readings), {start: counts.missed for start, counts in mine}, totals, at)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((f"answers: {r.name}", r.health) for r in self.readings)

    def judged(self) -> Collection[Kind]:
        return {ANSWERS} if any(reading.learnt for reading in self.readings) else ()

    def findings(self) -> Iterator[Finding]:
        for reading in self.readings:
            first = began(reading.evidence, reading.threshold)
            if first is not None:
                found = self._finding(reading, first)
                yield replace(found, details=partial(self._detailed, found, reading.name, reading.starts[first:]))

    def _finding(self, reading: ShareReading, first: int) -> Finding:
        windows, kind = reading.windows[first:], reading.name
        share, before = share_of(windows), reading.reference
        summary = f"{share:.1%} {SHARES[kind]}; {before:.1%} when this version was built (tolerance {reading.share.by:g})"
        evidence = {**reading.to_dict(), "since": share}
        if kind == "unanswered":
            missed = sum(self.missed[window.start] for window in windows)
            usual = self.reference.missed / max(self.reference.answers, 1)
            more = missed / max(sum(window.of for window in windows), 1) - usual
            kind = "missed" if more >= (share - (before or 0.0)) / 2 else "written"
            told = (
                "nothing near enough was found for most of them" if kind == "missed" else "most of them were written, with sources at hand"
            )
            summary, evidence = f"{summary}; {told}", {**evidence, "missed": missed, "looks_like": told}
        drift = None if self.at is None else self.at.of(InputDrift)
        if drift is not None and drift.reading.drifting:
            summary, evidence = f"{summary}; the questions have drifted as well", {**evidence, "drifting": True}
        return Finding(ANSWERS, reading.name, windows[0].start, "page", summary, FIXES[kind], evidence, episode=True)

    def _detailed(self, finding: Finding, name: str, starts: Sequence[datetime]) -> Finding:
        """With some of the predictions that show it, of the newest window that has any."""
        for start in reversed(starts):
            ids = self._ids(name, start)
            if ids:
                summary = f"{finding.summary}; such as prediction {ids[0]}"
                return replace(finding, summary=summary, evidence={**finding.evidence, "predictions": ids}, details=None)
        return replace(finding, details=None)

    def _ids(self, name: str, start: datetime) -> list[str]:
        assert self.at is not None
        rows = answered_rows(self.at.context, self.at.release.champion, start)
        if rows is None:
            return []
        outputs = rows.outputs(self.at.context.stores.bundle(self.at.release.champion).signature)
        return [rows.ids[place] for place in counts_to(outputs, name)][:NAMED]
