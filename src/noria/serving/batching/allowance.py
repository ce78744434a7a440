"""What a shadow may be asked, where its answers cost time and money: a share of the requests, and so many answers in all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from noria.core.clock import SystemClock
from noria.core.files import Files
from noria.core.ids import digest
from noria.models.registry import CHALLENGER
from noria.serving.log.segments import read_log

LETTERS = 8  # of a digest, which is as good as a number drawn
PLACE = re.compile(r"x(\d+)(?:-|$)")  # of a worker, in the name of its log and the ids of its answers


@dataclass(frozen=True)
class ShadowTerms:
    """share: of the requests; answers: in all, of all workers; since: when it began to shadow"""

    share: float
    answers: int
    since: datetime


class Allowance:
    """What is left of it in one worker. Each has a part of its own, so that none has to ask another."""

    def __init__(self, share: float, left: int) -> None:
        self._share, self.left = share, left

    def takes(self, received_us: int, place: int) -> bool:
        """Whether a request is one of the share, as if it was drawn, and there is something left of the answers."""
        if self.left < 1 or not drawn(f"{received_us}/{place}", self._share):
            return False
        self.left -= 1
        return True


def drawn(name: str, share: float) -> bool:
    """Whether a name is among a share of all names: the same in every process."""
    return share >= 1 or int(digest(name)[:LETTERS], 16) < share * 16**LETTERS


def in_candidates_arm(bundle: str, unit: str, share: float) -> bool:
    """Whether who asks is answered by the candidate in an A/B test, in a server and in a replay alike. bundle: the candidate's"""
    return drawn(f"{bundle}/{unit}", share)


def left_of(terms: ShadowTerms, log: Path, bundle: str, writer: str, workers: int, files: Files) -> Allowance:
    """What a worker may still ask: its part, less what the log has of the shadow by those who were in its place before."""
    place = _place(writer)
    part = terms.answers // workers + (place < terms.answers % workers)
    logged = read_log(log, terms.since, SystemClock().now() + timedelta(days=1), files)
    given = 0 if logged is None else sum(_place(each) == place for each in logged.of(bundle).by(CHALLENGER).ids)
    return Allowance(terms.share, max(part - given, 0))


def _place(name: str) -> int:
    found = PLACE.search(name)
    return int(found[1]) if found else 0
