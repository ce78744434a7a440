"""Scoring the answers of a shadow: the pairs of one question that are in the log, each once, kept beside how far that has come.

Live answers do not wait for it: it reads what is logged. Judges may be slow and cost money, so that a round scores for a while at most, and
the next goes on.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from noria.core.clock import Stopwatch
from noria.core.ids import digest
from noria.evaluation.answer_scores import AnswerScore, ShownAnswer
from noria.models.registry import CHALLENGER, CHAMPION
from noria.monitoring.shadow import pairs
from noria.monitoring.watched import WatchedEndpoint
from noria.release.answer_shadow import AnswerPlan, ComparedAnswers, Gains, answer_plan, judge_answers, of_plain, to_plain
from noria.release.releases import Release, current_release
from noria.release.rollout import Rollout, ShadowVerdict
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import read_log
from noria.stores.progress import progress_of, set_progress

logger = logging.getLogger("noria.monitoring")

ROUND_SECONDS = 30.0  # that a round scores at most, after which it decides by what there is
AT_ONCE = 8  # pairs that are scored side by side, where a judge is waited for
SEARCHED, FAILED = "searched", "failed"
MICROSECONDS = 1e6
ID_LETTERS = 16


@dataclass(frozen=True)
class Pair:
    """Both answers to one question. id: of the champion's; repeats: by which the same question is known again, none where it is not logged

    conversation: by which turns of one conversation are known
    """

    id: str
    before: ShownAnswer
    after: ShownAnswer
    repeats: str
    conversation: str


@dataclass(frozen=True)
class Scored:
    """What was said of a pair. low, high: between which the gain lies; taken: of each limit, by champion and challenger; missing: why"""

    low: float
    high: float
    taken: Mapping[str, tuple[float, float]]
    missing: Sequence[str]


def compares_answers(context: WatchedEndpoint) -> bool:
    """Whether shadows of an endpoint are judged by scores of both answers, since outcomes belong to the answer that was shown."""
    return context.endpoint.task.outcomes_belong_to_the_answer and isinstance(context.rollout, Rollout)


def score_shadow(context: WatchedEndpoint, now: datetime) -> None:
    """Score the pairs of answers that are new, for a while at most."""
    release = current_release(context)
    if release is None or release.challenger is None or not compares_answers(context):
        return
    assert isinstance(context.rollout, Rollout)
    plan = answer_plan(context.endpoint.name, context.endpoint.model, context.rollout)
    kept = _kept(context, release)
    logged = read_log(context.stores.log_folder, release.challenger_since, now + timedelta(seconds=1), context.stores.workspace.files)
    if logged is None:
        return
    found, seen, asked = of_plain(kept), set(kept.get("seen", ())), set(kept.get("asked", ()))
    answers = logged.by(CHALLENGER).of(release.challenger)
    fresh = [pair for pair in _pairs(logged.by(CHAMPION), answers) if _brief(pair.id) not in seen]
    wanted, repeated = _first_asked(fresh, asked)
    scored = _scored(plan, wanted)
    done = {pair.id for pair, _ in scored} | {pair.id for pair in repeated}
    found = _added(plan, found, scored)
    found = replace(found, repeated=found.repeated + len(repeated), answers=len(answers))
    seen |= {_brief(pair.id) for pair in fresh if pair.id in done}
    asked |= {pair.repeats for pair, _ in scored if pair.repeats}
    waiting = len(wanted) - len(scored)
    told = {**to_plain(found), "bundle": release.challenger, "seen": sorted(seen), "asked": sorted(asked), "waiting": waiting}
    with context.stores.catalog.transaction() as c:
        set_progress(c, _name(context), now, told)


def answer_shadow(context: WatchedEndpoint, release: Release, plan: Rollout, now: datetime) -> ShadowVerdict:
    """What a shadow of answers says now, from what is kept of it."""
    compared = answer_plan(context.endpoint.name, context.endpoint.model, plan)
    kept, lasted = _kept(context, release), now - release.challenger_since
    found = of_plain(kept)
    spent = found.answers >= plan.answers and not kept.get("waiting")
    waited_out = lasted >= plan.longest or spent
    return judge_answers(plan, compared, found, lasted, waited_out=waited_out)


def _name(context: WatchedEndpoint) -> str:
    return f"answers/{context.endpoint.name}"


def _kept(context: WatchedEndpoint, release: Release) -> Mapping[str, Any]:
    """What was seen of the challenger that shadows now."""
    row = progress_of(context.stores.catalog, _name(context))
    return row.detail if row is not None and row.detail.get("bundle") == release.challenger else {}


def _brief(identifier: str) -> str:
    return digest(identifier)[:ID_LETTERS]


def _pairs(champions: Predictions, challengers: Predictions) -> list[Pair]:
    """The answers to the same request, in the order of time; searches have none."""
    mine, theirs = pairs(champions, challengers)
    before, after = _shown(champions), _shown(challengers)
    found = []
    for one, other in zip(mine.tolist(), theirs.tolist(), strict=True):
        if SEARCHED not in (before[one].said.get("finish"), after[other].said.get("finish")):
            asked = before[one].asked
            found.append(Pair(champions.ids[one], before[one], after[other], _repeats(asked), _conversation(asked) or champions.ids[one]))
    return found


def _shown(rows: Predictions) -> list[ShownAnswer]:
    """Each row as what is scored, whichever bundle answered it."""
    found: list[ShownAnswer | None] = [None] * len(rows)
    for bundle, values in rows.values.items():
        places = [place for place, each in enumerate(rows.bundle) if each == bundle]
        for place, asked, said in zip(places, values.inputs.dicts(), values.outputs.dicts(), strict=True):
            found[place] = ShownAnswer(asked, said, float(rows.latency_us[place]) / MICROSECONDS)
    return [each for each in found if each is not None]


def _repeats(asked: Mapping[str, Any]) -> str:
    """By which a question is known when it is asked again: all that is read of it. Empty where it is not logged."""
    return digest(dict(asked))[:ID_LETTERS] if asked.get("question") else ""


def _conversation(asked: Mapping[str, Any]) -> str:
    """By which the turns of a conversation are known: by what was said first."""
    try:
        before = json.loads(asked.get("conversation") or "[]")
    except ValueError:
        before = []
    first = before[0].get("content") if isinstance(before, list) and before and isinstance(before[0], dict) else asked.get("question")
    return str(first or "")


def _first_asked(fresh: Sequence[Pair], asked: set[str]) -> tuple[list[Pair], list[Pair]]:
    """Those whose question was not asked before, and those that repeat one: the same question twice says nothing twice."""
    wanted, repeated, known = list[Pair](), list[Pair](), set(asked)
    for pair in fresh:
        (repeated if pair.repeats in known else wanted).append(pair)
        if pair.repeats:
            known.add(pair.repeats)
    return wanted, repeated


def _scored(plan: AnswerPlan, wanted: Sequence[Pair]) -> list[tuple[Pair, Scored]]:
    """The first pairs with their scores, as many as there is time for."""
    watch, found = Stopwatch(), list[tuple[Pair, Scored]]()
    with ThreadPoolExecutor(AT_ONCE if plan.score.judged else 1) as threads:
        for at in range(0, len(wanted), AT_ONCE):
            if watch.seconds > ROUND_SECONDS:
                logger.info("%d pairs of answers wait to be scored in the next round", len(wanted) - at)
                break
            some = wanted[at : at + AT_ONCE]
            found += zip(some, threads.map(lambda pair: _of_pair(plan, pair), some), strict=True)
    return found


def _of_pair(plan: AnswerPlan, pair: Pair) -> Scored:
    missing = list[str]()
    lows, highs = zip(*(_between(plan.score, shown, missing) for shown in (pair.before, pair.after)), strict=True)
    gains = [plan.score.gain(lows[0], highs[1]), plan.score.gain(highs[0], lows[1])]
    taken = {score.name: (_number(score, pair.before, missing), _number(score, pair.after, missing)) for score, _ in plan.limits}
    return Scored(min(gains), max(gains), taken, missing)


def _between(score: AnswerScore, shown: ShownAnswer, missing: list[str]) -> tuple[float, float]:
    """Between which an answer's score lies: one number where it is known."""
    value = _number(score, shown, missing)
    return score.bounds if math.isnan(value) else (value, value)


def _number(score: AnswerScore, shown: ShownAnswer, missing: list[str]) -> float:
    """An answer's score; NaN where it has none, and why is told."""
    try:
        value = score.of(shown)
    except Exception as error:  # noqa: BLE001 - of a judge of one's own, which must stop neither the loop nor its shadow
        value = f"{score.name} raised {type(error).__name__}"
    if isinstance(value, str):
        missing.append(value)
        return math.nan
    if not score.bounds[0] <= value <= score.bounds[1]:  # nor is NaN
        missing.append(f"{score.name} gave {value:g}")
        return math.nan
    return value


def _added(plan: AnswerPlan, before: ComparedAnswers, scored: Sequence[tuple[Pair, Scored]]) -> ComparedAnswers:
    """What was seen, with what a round has scored: turns of one conversation count as one question, in the middle of them."""
    if not scored:
        return before
    units = dict[str, list[Scored]]()
    for pair, each in scored:
        units.setdefault(pair.conversation, []).append(each)
    low, high = (np.array([np.mean([getattr(each, end) for each in unit]) for unit in units.values()]) for end in ("low", "high"))
    gains = Gains(np.concatenate([before.gains.lowest, low]), np.concatenate([before.gains.highest, high]))
    taken = dict(before.taken)
    for score, _ in plan.limits:
        rows = np.array([np.mean([each.taken[score.name] for each in unit], axis=0) for unit in units.values()]).reshape(-1, 2)
        taken[score.name] = np.concatenate([before.taken.get(score.name, np.empty((0, 2))), rows])
    missing = dict(before.missing)
    for _, each in scored:
        for why in each.missing:
            missing[why] = missing.get(why, 0) + 1
    failed = sum(pair.after.said.get("finish") == FAILED for pair, _ in scored)
    return replace(before, gains=gains, taken=taken, missing=missing, failed=before.failed + failed)
