"""Monitors of answers in words, simulated: false alarms over years, and what is found of planted changes.

`python -m benchmarks.llm.watching`

Shares (unanswered, missed): years in which nothing changes, of windows whose rates stray, follow the hour or resemble the one before; and a
rise of thirty points. Judges: years in which just as many answers are good as was promised, seen through a judge that errs and was
measured on some labels; the bounds at every look; and falls. Spending: days that go over their limit, and days that don't.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, Proof, most_a_year
from noria.core.calendar import Calendar
from noria.monitoring.answers.judged import ALPHA, RISK, Said, SampledJudge, read_judged
from noria.monitoring.answers.shares import AnswerShare, Counted, read_share
from noria.monitoring.answers.spending import SpendingLimit, Took, read_spending
from noria.statistics.confidence import bounded_sequence
from noria.statistics.e_detector import threshold_for
from noria.stores.verdicts import AnswerVerdict

Floats = NDArray[np.float64]

YEARS = int(os.environ.get("WATCHED_YEARS", "40"))  # of each kind of windows, and of each judge
BUDGET = 0.4 / 3  # false alarms a year of each of three such monitors, where four are allowed to all monitors together
START = datetime(2026, 1, 1, tzinfo=UTC)
USUAL, RISE = 0.1, 0.3
PROMISED, A_DAY = 0.9, 50  # the share of good answers; how many are judged
WITHIN = {24: 72, 1: 14}  # windows in which the rise is to be found, by how many a day has
KINDS = ("steady", "straying", "by the hour", "like the last one")


def prove() -> Proof:
    yield from shares()
    yield from judges()
    yield from falls()
    yield from spending()


def shares() -> Proof:
    """Years without a change, and a rise after sixty days."""
    alarms, years, found, planted = 0, 0.0, 0, 0
    for a_day, mean in ((24, 4), (24, 40), (1, 50), (1, 1_000)):
        days, early, late = 365 if a_day == 1 else 120, list[int](), 0
        for kind in KINDS:
            for seed in range(YEARS):
                rng = np.random.default_rng([seed, a_day, mean, KINDS.index(kind)])
                late += _alarms(rng, kind, a_day, mean, days, 0.0)[0]
                years += days / 365
                after = _alarms(rng, kind, a_day, mean, 61 + WITHIN[a_day] // a_day, RISE)[1]
                early.append(after if after is not None else 10**6)
        alarms, within = alarms + late, sum(each < WITHIN[a_day] for each in early)
        found, planted = found + within, planted + len(early)
        yield (
            f"# {a_day} windows a day, {mean} answers each: {late} alarms in {len(early)} spans of {days} days; "
            f"a rise by {RISE:.0%} is found after {np.median(early) + 1:.0f} windows (median), {within / len(early):.0%} in {WITHIN[a_day]}"
        )
    yield Figure("answer shares: false alarms", most_a_year(alarms, years), f"a year, upper 95 % bound, {years:.0f} years", "<=", BUDGET)
    yield Figure("answer shares: found, a rise by 30 points", found / planted, "within 3 days of hours, or 14 days", ">=", 0.9)


def _alarms(rng: np.random.Generator, kind: str, a_day: int, mean: int, days: int, rise: float) -> tuple[bool, int | None]:
    """Whether there was an alarm, and after how many windows of the rise, which begins after sixty days. The release was built on the 200
    newest questions before."""
    before = max(200 // mean, 1)
    rates = _rates(rng, kind, a_day, before + a_day * days)
    begins = before + 60 * a_day
    if rise:
        rates[begins:] = np.minimum(rates[begins:] + rise, 1.0)
    of = rng.poisson(mean, len(rates))
    counts = rng.binomial(of, rates)
    windows = [
        Counted(START + place * timedelta(days=1) / a_day, int(c), int(n)) for place, (c, n) in enumerate(zip(counts, of, strict=True))
    ]
    reference = [(each.count, each.of) for each in windows[:before]]
    threshold = threshold_for(alarms_per_year=BUDGET, windows_per_year=365 * a_day)
    reading = read_share(AnswerShare("unanswered", 0.05), reference, windows[before:], threshold)
    over = [start for start, evidence in zip(reading.starts, reading.evidence, strict=True) if evidence >= threshold]
    later = [start for start in over if start >= windows[min(begins, len(windows) - 1)].start]
    after = None if not later else round((later[0] - windows[begins].start) / (timedelta(days=1) / a_day))
    return bool(over), after


def _rates(rng: np.random.Generator, kind: str, a_day: int, count: int) -> Floats:
    place = np.arange(count)
    if kind == "straying":
        return rng.beta(USUAL / 0.03, (1 - USUAL) / 0.03, count)
    if kind == "by the hour":
        return USUAL * (1 + 0.5 * np.sin(2 * np.pi * place / (a_day if a_day > 1 else 7)))
    if kind == "like the last one":
        noise = rng.normal(size=count)
        for at in range(1, count):
            noise[at] = 0.7 * noise[at - 1] + noise[at] * 0.714
        return np.clip(USUAL * np.exp(0.25 * noise - 0.03), 0.0, 1.0)
    return np.full(count, USUAL)


def judges() -> Proof:
    """Years in which as many are good as was promised, and the bounds."""
    threshold = threshold_for(alarms_per_year=BUDGET, windows_per_year=A_DAY * 365)
    alarms = missed = runs = 0
    for right_good, right_bad in ((0.98, 0.98), (0.95, 0.8), (0.85, 0.9), (0.75, 0.75)):
        for labels in (60, 200):
            own = list[int]()
            for seed in range(YEARS):
                rng = np.random.default_rng([seed, int(100 * right_good), int(100 * right_bad), labels])
                judge = _measured(rng, right_good, right_bad, labels, PROMISED, A_DAY)
                reading = read_judged(judge, _verdicts(rng, PROMISED, right_good, right_bad, A_DAY * 365), threshold)
                if judge.lacking:
                    continue
                runs, own = runs + 1, [*own, int((reading.evidence >= threshold).any())]
                lower, upper = bounded_sequence(reading.scores, 0.0, 1.0, alpha=ALPHA / 2)
                shown = [judge.errors.share(low, 0.5, high) for low, high in zip(lower[19::50], upper[19::50], strict=True)]
                missed += any(not low <= PROMISED <= high for low, _, high in shown)
            alarms += sum(own)
            lacking = YEARS - len(own)
            unmeasured = f"; in {lacking} more it was measured too little" if lacking else ""
            judge_is = f"right on {right_good:.0%} of good and {right_bad:.0%} of bad answers, {labels} labels"
            yield f"# {judge_is}: {sum(own)} of {len(own)} years with an alarm{unmeasured}"
    level = BUDGET + RISK
    yield Figure("judged answers: years with a false alarm", alarms / runs, f"of {runs}, good just as was promised", "<=", level)
    yield Figure("judged answers: bounds that miss, at any look of a year", missed / runs, f"of {runs} years", "<=", ALPHA)


def falls() -> Proof:
    """From 97 % good answers to fewer, after sixty days."""
    threshold = threshold_for(alarms_per_year=BUDGET, windows_per_year=A_DAY * 365)
    for fallen, within in ((0.75, 28), (0.7, 14), (0.6, 5)):
        waited = list[float]()
        for seed in range(YEARS):
            rng = np.random.default_rng([seed, int(100 * fallen), 3])
            judge = _measured(rng, 0.95, 0.95, 200, PROMISED, A_DAY)
            scores = [*_verdicts(rng, 0.97, 0.95, 0.95, A_DAY * 60), *_verdicts(rng, fallen, 0.95, 0.95, A_DAY * 60, A_DAY * 60)]
            reading = read_judged(judge, scores, threshold)
            over = np.flatnonzero(reading.evidence >= threshold)
            later = over[over >= A_DAY * 60]
            waited.append((later[0] - A_DAY * 60) / A_DAY if len(later) else 10**6)
        yield f"# from 97 % to {fallen:.0%} good answers, {A_DAY} judged a day: found after {np.median(waited):.1f} days (median)"
        found = float(np.mean(np.array(waited) <= within))
        yield Figure(f"judged answers: found, a fall to {fallen:.0%}", found, f"of {YEARS} runs within {within} days", ">=", 0.85)


def _measured(rng: np.random.Generator, right_good: float, right_bad: float, labels: int, promised: float, a_day: int) -> SampledJudge:
    human = (rng.random(labels) < 0.6).astype(float)
    judged = _seen(rng, human, right_good, right_bad)
    given = tuple(human.tolist()), tuple(judged.tolist())
    return SampledJudge("faithfulness", "judge", promised, a_day, None, *given, ask=lambda *_: Said(None, "failed"))


def _verdicts(
    rng: np.random.Generator, good: float, right_good: float, right_bad: float, count: int, first: int = 0
) -> list[AnswerVerdict]:
    seen = _seen(rng, (rng.random(count) < good).astype(float), right_good, right_bad)
    times = [START + timedelta(minutes=first + place) for place in range(count)]
    return [AnswerVerdict(str(first + place), "b", times[place], times[place], float(score)) for place, score in enumerate(seen)]


def _seen(rng: np.random.Generator, truth: Floats, right_good: float, right_bad: float) -> Floats:
    right = rng.random(len(truth)) < np.where(truth > 0, right_good, right_bad)
    return np.where(right, truth, 1 - truth)


def spending() -> Proof:
    """Days of hours whose spending follows the time of day, after four weeks: a usual one, and one on which half as much again is spent."""
    hours, limit = Calendar(timedelta(hours=1)), SpendingLimit("day", dollars=13.0)
    told, false, early = 0, 0, list[float]()
    for seed in range(5 * YEARS):
        rng = np.random.default_rng([seed, 41])
        usual = 10 * np.array([max(np.sin((hour - 6) / 12 * np.pi), 0.05) for hour in range(24)])
        usual *= 10 / usual.sum()
        for times in (1.0, 1.6):
            spent = [float(rng.gamma(20, usual[h % 24] / 20)) * (times if h >= 28 * 24 else 1.0) for h in range(29 * 24)]
            windows = [Took(START + h * timedelta(hours=1), 0.0, dollars) for h, dollars in enumerate(spent)]
            first = next((h for h in range(24) if _will_be(limit, windows[: 28 * 24 + h + 1], hours)), None)
            if times == 1.0:
                false += first is not None
                continue
            gone = next(h for h in range(24) if sum(spent[28 * 24 : 28 * 24 + h + 1]) >= 13.0)
            told += first is not None and first < gone
            early.append(gone - first if first is not None else 0.0)
    runs = 5 * YEARS
    yield f"# a day on which 60 % more than usual is spent is told {np.median(early):.0f} hours (median) before its limit is reached"
    yield Figure("spending: forecasts before it is spent", told / runs, f"of {runs} days", ">=", 0.85)
    yield Figure("spending: forecasts on usual days", false / runs, f"of {runs} days", "<=", 0.01)


def _will_be(limit: SpendingLimit, windows: list[Took], calendar: Calendar) -> bool:
    [reading] = read_spending(limit, windows, calendar)
    return reading.will_be


if __name__ == "__main__":
    for line in prove():
        print(line, flush=True)
