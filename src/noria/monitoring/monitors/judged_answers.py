"""What judges say of a sample of the champion's answers, such as whether they are faithful to their sources."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from noria.core.clock import YEAR
from noria.core.health import Health
from noria.monitoring.answers.judged import JudgedReading, read_judged
from noria.monitoring.findings import Finding, Kind, Severity, began
from noria.monitoring.monitors.reading import At, monitor
from noria.statistics.e_detector import threshold_for
from noria.stores.verdicts import Verdicts

FAITHFULNESS: Kind = "faithfulness"
NAMED, WORST = 3, 0.5  # predictions that a finding names, of those with a score below this


@monitor(rank=15)
@dataclass(frozen=True)
class JudgedAnswers:
    """Of every declared judge, what its verdicts since the release say."""

    name: ClassVar[str] = "judged answers"
    readings: tuple[JudgedReading, ...]

    @classmethod
    def read(cls, at: At) -> Self | None:
        if not at.monitor.judged:
            return None
        kept, found = Verdicts.there(at.context.stores.workspace.verdicts(at.context.endpoint.name)), list[JudgedReading]()
        for judge in at.monitor.judged:
            verdicts = [] if kept is None else kept.of(judge.key, at.release.champion, at.release.champion_since)
            answers_a_year = judge.a_day * YEAR.days
            threshold = threshold_for(alarms_per_year=at.monitor.metric_budget, windows_per_year=answers_a_year)
            found.append(read_judged(judge, [v for v in verdicts if v.received < at.now], threshold))
        return cls(tuple(found))

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((f"judged: {r.name}", r.health) for r in self.readings)

    def judged(self) -> Collection[Kind]:
        return {FAITHFULNESS} if any(len(reading.scores) for reading in self.readings) else ()

    def findings(self) -> Iterator[Finding]:
        for reading in self.readings:
            first = began(reading.evidence, reading.threshold)
            if first is not None:
                yield _finding(reading, first)


def _finding(reading: JudgedReading, first: int) -> Finding:
    """A fall, as people would say where the judge was measured; else as the judge says, which calls nobody."""
    since, promised = reading.scores[first:], reading.judge.at_least
    measured = not reading.judge.lacking
    severity: Severity = "page" if measured else "inform"
    bad = [each for each, score in zip(reading.predictions[first:], since, strict=True) if score < WORST][-NAMED:]
    who = "" if measured else "the judge says: "
    summary = (
        f"{who}{reading.name} has fallen below {promised:.0%}: a mean of {since.mean():.2f} over the newest {len(since)} judged answers"
    )
    summary += "" if measured else f" ({reading.judge.lacking})"
    summary += f"; such as prediction {bad[-1]}" if bad else ""
    fix = "look at some: `noria explain ID`; then check the prompt, the generator and what is found"
    fix += "" if measured else "; measure the judge: `measured(judge, labels)`, and give its record to `llm.sampled`"
    evidence = {**reading.to_dict(), "newest": float(since.mean()), "predictions": bad}
    return Finding(FAITHFULNESS, reading.name, reading.starts[first], severity, summary, fix, evidence, episode=True)
