"""Shadows that a server can't run: the challenger reads inputs that the champion's requests do not have.

A server has the columns of its champion. A challenger with a feature more, or one that is defined otherwise, can't be scored on them. Its
answers are computed from the tables instead: what it would have been asked is in the log, by key and time, and its own definitions say what
was known then. Such a shadow has no latency, and needs requests that name facts of the spine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import numpy as np

from noria.core.errors import NoriaError, UserMistake
from noria.core.ids import short
from noria.features.skew import recomputed, spine_of
from noria.models.columns import lacking
from noria.models.registry import CHALLENGER, CHAMPION
from noria.monitoring.shadow import shadow_windows
from noria.monitoring.watched import WatchedEndpoint
from noria.release.releases import Release, current_release
from noria.serving.log.predictions import Predictions, Values, together
from noria.stores.windows import bundles_at

logger = logging.getLogger("noria.loop")


class CannotShadow(UserMistake):
    """A challenger can be compared with the champion neither by the server nor from the tables."""

    code = "NR-406"

    def __init__(self, challenger: str, missing: list[str], reason: str) -> None:
        self.challenger, self.missing = challenger, missing
        super().__init__(
            what=f"{short(challenger)} can't shadow: the server has no {', '.join(missing)}, which it reads",
            where=f"they can't be computed from the tables either: {reason}",
            fix="release it once without a shadow: release=nr.Immediate()",
        )


def refused_shadow(context: WatchedEndpoint, release: Release) -> CannotShadow | None:
    """Why the challenger that shadows now can never be judged; None where it can, or where nobody shadows."""
    missing = unserved(context, release)
    if release.challenger is None or not missing:
        return None
    try:
        context.own.of(release.challenger)
    except UserMistake as error:
        return CannotShadow(release.challenger, missing, f"{error.what} ({error.where})")
    windows = [w for w in shadow_windows(context, release.challenger, release.challenger_since) if w.asked]
    if windows and not any(w.paired for w in windows):
        asked = sum(w.asked for w in windows)
        return CannotShadow(release.challenger, missing, f"none of {asked:,} logged requests has the key of a row of the spine")
    return None


def unserved(context: WatchedEndpoint, release: Release) -> list[str]:
    """The challenger's inputs that the champion's requests do not have."""
    return [] if release.challenger is None else lacking(context.stores.bundle(release.challenger), context.stores.bundle(release.champion))


def recorded_challengers(context: WatchedEndpoint, start: datetime) -> set[str]:
    """The bundles that shadowed in a window, as was recorded when it closed."""
    return bundles_at(context.stores.catalog, context.endpoint.name, start, CHALLENGER)


def offline_challengers(context: WatchedEndpoint, logged: Predictions, start: datetime) -> set[str]:
    """The bundles whose answers in a window are to be computed, since no server could."""
    found, release = recorded_challengers(context, start), current_release(context)
    if release is not None and release.challenger is not None and start >= release.challenger_since and unserved(context, release):
        found.add(release.challenger)
    return found.difference(logged.by(CHALLENGER).bundle)


def with_answers(context: WatchedEndpoint, logged: Predictions, challengers: Iterable[str]) -> Predictions:
    """What was logged in a window, and what challengers would have answered. One that can't answer is left out, and the reason told."""
    parts = [logged]
    for challenger in sorted(challengers):
        try:
            parts.append(_answers(context, challenger, logged.by(CHAMPION)))
        except NoriaError as error:
            logger.error("the shadow %s: %s", short(challenger), error)
    return logged if len(parts) == 1 else together(parts)


def _answers(context: WatchedEndpoint, challenger: str, asked: Predictions) -> Predictions:
    """A challenger's answers to what the champion was asked; requests that name no fact have none."""
    own, bundle = context.own.of(challenger), context.stores.bundle(challenger)
    engine = own.engine_at(asked.keys, asked.received_us)
    spine, place = spine_of(own.feature_set, engine, asked.keys, asked.received_us)
    known = np.zeros(len(asked), np.bool_)
    known[place] = True
    rows = asked.where(known)
    if not len(rows):
        return rows
    features = recomputed(own.feature_set, engine, spine)
    inputs, count = features.select(bundle.signature.inputs, f"bundle {short(challenger)}"), len(rows)
    values = {challenger: Values(inputs, context.stores.model(challenger).answer(inputs))}
    return replace(rows, variant=[CHALLENGER] * count, bundle=[challenger] * count, values=values)
