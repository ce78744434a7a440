"""Trainers that hang, leave or eat the memory, in real processes: the loop observes on, and tells the cause.

More kinds, for an hour, are in `benchmarks/loop/failures.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from noria.core.clock import ReplayClock
from noria.data.ingest import ingest
from noria.loop.attempts import GROWTH, MAX_ATTEMPTS
from noria.loop.context import EndpointContext, Policy
from noria.loop.controller import train_now
from noria.loop.decide import REST
from noria.loop.live_loop import LiveLoop, Round
from noria.loop.project import load_project
from noria.loop.trainings import training
from noria.stores import schema
from noria.stores.candidates import newest_candidate
from noria.stores.decisions import DecisionRow, decisions_of
from noria.stores.findings import FindingRow, open_findings
from noria.stores.progress import progress_of
from noria.stores.workspace import Workspace
from noria.training.trainer import TrainerFailed
from projects import MODULE, SETTINGS, edited, write_project

NOW = datetime(2024, 2, 20, tzinfo=UTC)
DAY = timedelta(days=1)
MOODY = """
import os, pathlib, time

def in_its_mood():
    mood = (pathlib.Path(__file__).parent / "mood").read_text()
    if mood == "raises":
        raise ValueError("no good day")
    if mood == "hangs":
        time.sleep(10_000)
    if mood == "leaves":
        os._exit(3)
    if mood == "eats memory":
        bytearray(64 * 2**30)


@nr.trainer
def boosted(train, *, seed, rounds=20):
    in_its_mood()
"""
RESTLESS = {
    "\n@nr.trainer\ndef boosted(train, *, seed, rounds=20):\n": MOODY,
    'nr.stale("60d")], cooldown="7d")': 'nr.stale("12h")])',
    'at_most="8d"': 'at_most="2d"',
}


class Shop:
    """A shop whose trainer has moods, and whose loop wants to train every day."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_project(
            folder, edited(MODULE, RESTLESS), edited(SETTINGS, {"[loop]": '[loop]\ntraining_memory_gb = 24\nretry = "1m"'})
        )
        project = load_project(folder)
        self.workspace = Workspace.of(folder, project.settings)
        for table in project.tables:
            ingest(table, self.workspace.tables, folder)
        self.clock = ReplayClock(NOW)
        self.rounds = LiveLoop(project, self.workspace, self.clock, DAY, waits=True)
        self.be("good")

    def be(self, mood: str) -> None:
        (self.folder / "mood").write_text(mood)

    def later(self, span: timedelta) -> Round:
        """A round after so long."""
        self.clock.advance_to(self.clock.now() + span)
        return self.rounds.run()

    def open_actions(self) -> list[FindingRow]:
        with closing(self.workspace.catalog()) as catalog:
            return [row for row in open_findings(catalog) if row.kind == "action"]

    def last_decision(self) -> DecisionRow:
        with closing(self.workspace.catalog()) as catalog:
            return decisions_of(catalog, "returns")[-1]

    def measured_to(self) -> datetime | None:
        with closing(self.workspace.catalog()) as catalog:
            found = progress_of(catalog, "windows/returns")
        return None if found is None else found.at

    def limit(self, span: str) -> None:
        path = self.folder / "noria.toml"
        path.write_text(edited(path.read_text(), {"[loop]": f'[loop]\ntraining_limit = "{span}"'}))

    def no_limit(self) -> None:
        path = self.folder / "noria.toml"
        path.write_text("\n".join(line for line in path.read_text().splitlines() if "training_limit" not in line))

    def context(self) -> EndpointContext:
        project = load_project(self.folder)
        endpoint = project.endpoint()
        return EndpointContext.open(project, self.workspace, endpoint, Policy.declared(project, endpoint), live=True)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One shop for all tests, which run in order, each from a day on which the loop is well."""
    found = Shop(tmp_path_factory.mktemp("moods") / "shop")
    with pytest.MonkeyPatch.context() as patch, closing(found.rounds):
        patch.setenv("NORIA_ALERTS_CHANNELS", "")
        assert [a.verb for a in found.rounds.run().actions] == ["train", "promote"]
        yield found


@pytest.mark.parametrize(
    ("mood", "code", "cause"),
    [
        ("hangs", "NR-412", "longer than 2s"),
        ("eats memory", "NR-310", "MemoryError"),
    ],
)
def test_a_bad_trainer_blinds_nobody_and_is_one_finding_with_its_cause(shop: Shop, mood: str, code: str, cause: str) -> None:
    shop.be(mood)
    if mood == "hangs":
        shop.limit("2s")
    done = shop.later(2 * DAY)  # the shadow of the day before is over, and the champion is stale
    while not shop.open_actions() and not done.troubles:
        done = shop.later(DAY)
    [finding] = shop.open_actions()
    assert done.troubles == {}
    assert cause in finding.summary
    assert finding.evidence["code"] == code
    assert shop.measured_to() == shop.clock.now()
    shop.later(timedelta(seconds=30))  # its pause is not over
    assert shop.last_decision().attempts == 1
    shop.no_limit()
    shop.be("good")
    assert "train" in [a.verb for a in shop.later(timedelta(seconds=31)).actions]
    assert shop.open_actions() == []
    with closing(shop.workspace.catalog()) as catalog:
        trained = newest_candidate(catalog, "returns")
    assert trained is not None
    assert trained.at == shop.clock.now()  # as of now, not of when it failed first
    shop.clock.advance_to(shop.clock.now().replace(hour=0, minute=0, second=0) + DAY)


def test_an_action_is_given_up_after_its_last_attempt_and_nothing_is_decided_for_a_day(shop: Shop) -> None:
    shop.be("leaves")
    shop.later(2 * DAY)
    while not shop.open_actions():
        shop.later(DAY)
    assert "code 3" in shop.open_actions()[0].summary
    shop.later(timedelta(minutes=1))
    assert shop.last_decision().attempts == 2
    assert shop.last_decision().next_at == shop.clock.now() + timedelta(minutes=GROWTH)
    with closing(shop.workspace.catalog()) as catalog, catalog.amending() as c:
        c.execute(sa.update(schema.decisions).where(schema.decisions.c.attempts == 2).values(attempts=MAX_ATTEMPTS - 1))
    shop.later(timedelta(minutes=GROWTH))
    given_up = shop.last_decision()
    assert (given_up.attempts, given_up.failed, given_up.done) == (MAX_ATTEMPTS, True, False)
    shop.be("good")
    assert shop.later(REST - timedelta(minutes=1)).actions == []
    assert len(shop.open_actions()) == 1
    assert "train" in [a.verb for a in shop.later(timedelta(minutes=1)).actions]
    assert shop.open_actions() == []


def test_a_training_by_hand_that_fails_is_the_persons_and_not_tried_again(shop: Shop) -> None:
    shop.be("raises")
    shop.clock.advance_to(shop.clock.now() + timedelta(hours=1))  # else it would find the candidate of this moment, which is made already
    context = shop.context()
    with closing(context.stores.catalog):
        context.stores.catalog.take_lease()
        with pytest.raises(TrainerFailed, match="no good day"):
            train_now(context, shop.clock)
    assert shop.last_decision().failed
    assert shop.open_actions() == []
    assert "train" not in [a.verb for a in shop.later(timedelta(minutes=1)).actions]
    assert shop.open_actions() == []


def test_a_loop_turns_while_a_person_trains(shop: Shop) -> None:
    shop.be("good")
    with training(shop.context()):
        before = shop.last_decision().at
        shop.later(DAY)
        assert shop.measured_to() == shop.clock.now().replace(hour=0, minute=0, second=0)
    assert shop.last_decision().at >= before
