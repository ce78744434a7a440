"""The live loop: round after round of ingesting, materialising, one turn of every endpoint's controller, and telling people; and the
watcher, another process, that tells them when a stage stands still.

One stage that fails does not stop the others: it is a finding, and the next round tries again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from noria.alerting.channels import Channel, open_channel
from noria.alerting.incidents import Recipients, Sent, close_findings, digest, open_finding, send_due, undelivered
from noria.core.clock import Clock, duration, in_words
from noria.core.errors import NoriaError, UserMistake, as_noria
from noria.core.files import hold
from noria.core.heartbeat import Beat, beat, beats, require_this_host
from noria.core.progress import silence
from noria.data.ingest import Ingested, ingest
from noria.features.materialization import materialize
from noria.loop.attempts import Attempts
from noria.loop.context import EndpointContext, Policy
from noria.loop.controller import reconcile
from noria.loop.history import is_history
from noria.loop.judging import Judging
from noria.loop.project import Project, load_project
from noria.loop.state import Action
from noria.loop.trainings import Trainings
from noria.monitoring.detectors import Remembered
from noria.monitoring.findings import Finding
from noria.monitoring.refused_rows import DATA_QUALITY, refused, subject_of
from noria.release.endpoint import Endpoint
from noria.release.releases import latest_release
from noria.stores.catalog import PATIENCE_SECONDS, Catalog
from noria.stores.workspace import Workspace

logger = logging.getLogger("noria.loop")

LOOP, WATCH = "loop", "watch"
WAITING = "waiting for the next round"
PROJECT = "project"  # in the place of an endpoint, where a finding is about all of them
TELLING, JUDGES, CHANNEL = "telling", "judges", "alerts/"
JUDGED_WITHIN = timedelta(minutes=10)  # so long the last round of its process waits for judges


@dataclass
class Round:
    """What a round did. troubles: the stages that failed, with the errors; standing_by: another loop is at work, and nothing was done

    history: the endpoints of which there is only a replayed past; ingested: what new rows of each table became
    """

    actions: list[Action] = field(default_factory=list)
    troubles: dict[str, NoriaError] = field(default_factory=dict)
    sent: Sent | None = None
    standing_by: bool = False
    history: list[str] = field(default_factory=list)
    ingested: list[Ingested] = field(default_factory=list)


class LoopAtWork(UserMistake):
    """Another loop goes round this project."""

    code = "NR-415"
    http_status = 409

    def __init__(self, holder: str) -> None:
        super().__init__(
            what="another loop is already running on this project",
            where=f"process {holder or 'unknown'}",
            fix="let it run, or stop it; a second `noria loop --forever` waits on standby until then",
        )


class Place:
    """The place of the one loop of a project: a lock that dies with its process."""

    def __init__(self, root: Path) -> None:
        self._path = root / "loop.lock"
        self._lock: IO[str] | None = None

    def take(self) -> None:
        """Raises `LoopAtWork`."""
        if self._lock is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock, holder = hold(self._path)
        if self._lock is None:
            raise LoopAtWork(holder)

    @property
    def mine(self) -> bool:
        return self._lock is not None

    def leave(self) -> None:
        """Let another loop have it."""
        if self._lock is not None:
            self._lock.close()
        self._lock = None


class LiveLoop:
    """Goes round and round one project, which is read anew for each round.

    period: within which the next sign of life is due, as far as the watcher is concerned; waits: whether a round waits for the trainings
    that it begins: the last one of its process does
    """

    def __init__(self, project: Project, workspace: Workspace, clock: Clock, period: timedelta, *, waits: bool) -> None:
        self._project, self._workspace, self._clock, self._period, self._waits = project, workspace, clock, period, waits
        self._place = Place(workspace.root)
        self._trainings, self._judging = Trainings(), Judging(clock)
        self._remembered: dict[str, Remembered] = {}  # by endpoint
        self._untold: dict[str, NoriaError] = {}  # troubles of a round that could tell nobody: of a locked catalog, of a full disk
        self._doing, self._since = "nothing yet", clock.now()

    @contextmanager
    def pulse(self) -> Iterator[None]:
        """Give a sign of life twice a period, however long a stage may take: it says which, and since when."""
        ended = threading.Event()

        def beating() -> None:
            while not ended.wait(self._period.total_seconds() / 2):
                self._beat()

        thread = threading.Thread(target=beating, name="pulse", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.close()

    def close(self) -> None:
        """Leave the place to others. A training that has not ended is ended: the next loop begins it again."""
        self._trainings.end()
        self._judging.end()
        self._place.leave()

    def run(self, endpoint: str | None = None) -> Round:
        """One round, of one endpoint or of all. Raises `OtherHost`, and `LoopAtWork` where the round is the process's only one."""
        done = Round()
        if not self._place.mine:
            require_this_host(self._workspace.root, self._clock.now(), self._workspace.files)
            try:
                self._place.take()
            except LoopAtWork:
                if self._waits:
                    raise
                return Round(standing_by=True)
        self._tried(done, PROJECT, self._read_project)
        for table in self._project.tables:
            self._tried(done, f"ingest/{table.name}", self._ingest, done, table.name)
        if (self._workspace.root / "online").is_dir():
            self._tried(done, "materialize", self._materialize)
        endpoints = [self._project.endpoint(endpoint)] if endpoint else list(self._project.endpoints)
        self._reconcile_all(done, endpoints)
        while self._waits and self._trainings.busy:
            self._begin("training")
            self._trainings.wait(duration(self._project.settings.loop.training_limit))
            self._reconcile_all(done, endpoints)
        self._tried(done, JUDGES, self._judge, done, endpoints)
        self._tried(done, TELLING, self._tell, done)
        self._untold = dict(done.troubles) if TELLING in done.troubles else {}
        self._begin(WAITING)
        self._beat()
        return done

    def _begin(self, stage: str) -> None:
        self._doing, self._since = stage, self._clock.now()

    def _tried(self, done: Round, stage: str, work: Callable[..., Any], *given: Any) -> Any:
        """A stage's work; what it raises, foreseen or not, is a trouble of this round and ends neither it nor the loop."""
        self._begin(stage)
        try:
            return work(*given)
        except Exception as error:
            done.troubles[stage] = as_noria(error)
            logger.error("%s failed: %s", stage, done.troubles[stage], exc_info=logger.isEnabledFor(logging.DEBUG))
            return None

    def _read_project(self) -> None:
        self._project = load_project(self._project.folder)

    def _ingest(self, done: Round, table: str) -> None:
        found = ingest(self._project.table(table), self._workspace.tables, self._project.folder)
        if found.balance.rows_in or found.unreadable:
            done.ingested.append(found)

    def _materialize(self) -> None:
        materialize(self._workspace, self._project.views, self._clock.now(), silence)

    def _reconcile_all(self, done: Round, endpoints: Sequence[Endpoint]) -> None:
        for one in endpoints:
            self._tried(done, f"reconcile/{one.name}", self._reconcile, done, one.name)

    def _reconcile(self, done: Round, endpoint: str) -> None:
        chosen = self._project.endpoint(endpoint)
        remembered = self._remembered.setdefault(endpoint, Remembered())
        policy = Policy.declared(self._project, chosen)
        context = EndpointContext.open(self._project, self._workspace, chosen, policy, live=True, remembered=remembered)
        with closing(context.stores.catalog):
            context.stores.catalog.take_lease(PATIENCE_SECONDS)
            loop, now = self._project.settings.loop, self._clock.now()
            if is_history(context, now):
                done.history.append(endpoint)
            done.actions += reconcile(context, now, Attempts(self._trainings, duration(loop.retry), duration(loop.training_limit)))

    def _judge(self, done: Round, endpoints: Sequence[Endpoint]) -> None:
        """Have judges asked beside the rounds; the last round of its process waits for them, and sees what they say."""
        self._judging.begin(self._project, self._workspace, endpoints)
        if self._waits and self._judging.wait(JUDGED_WITHIN):
            self._reconcile_all(done, endpoints)

    def _beat(self) -> None:
        """A heartbeat that can't be written is no reason to die of: the watcher will tell that it is overdue."""
        if not self._place.mine:
            return  # the loop that is at work beats
        saw = {"doing": self._doing, "since": self._since.isoformat()}
        try:
            beat(self._workspace.root, LOOP, self._clock.now(), self._period, saw, self._workspace.files)
        except OSError as error:
            logger.error("the heartbeat could not be written: %s", error)

    def _tell(self, done: Round) -> None:
        """Tell people what was found. Stages that failed are findings; so are a watcher that stands still and a channel that is down."""
        with closing(self._workspace.catalog()) as catalog:
            now, recipients = self._clock.now(), Recipients(tuple(self._project.settings.alerts.channels))
            for subject, (stages, error) in _causes({**self._untold, **done.troubles}).items():
                summary = f"{', '.join(stages)} failed: {error.what} ({error.where})"
                open_finding(
                    catalog, PROJECT, Finding("no_data", subject, now, "page", summary, error.fix, error.to_dict()), now, recipients
                )
            self._tell_refused(catalog, done.ingested, now, recipients)
            watchers = [b for b in beats(self._workspace.root, self._workspace.files) if b.stage == WATCH]
            _tell_stalled(catalog, _late(watchers, now), now, recipients, only=[WATCH])
            done.sent = tell(catalog, self._project, now)
            down = undelivered(catalog)
            for name, waiting in down.items():
                summary = f"{name} does not accept alerts: {waiting['why']}"
                fix = "fix the channel; pending alerts are then sent in order, and none is lost"
                open_finding(catalog, PROJECT, Finding("no_data", f"{CHANNEL}{name}", now, "page", summary, fix, waiting), now, recipients)
            close_findings(catalog, PROJECT, "no_data", [*_causes(done.troubles), *(f"{CHANNEL}{name}" for name in down)], now, recipients)

    @staticmethod
    def _tell_refused(catalog: Catalog, ingested: Sequence[Ingested], now: datetime, recipients: Recipients) -> None:
        """Rows that were refused are a finding, which a later batch of the table without any ends."""
        for batch in ingested:
            found = list(refused(batch, now))
            for finding in found:
                open_finding(catalog, PROJECT, finding, now, recipients)
            subject = subject_of(batch.snapshot.table)
            close_findings(catalog, PROJECT, DATA_QUALITY, [f.subject for f in found], now, recipients, of=[subject])


def _causes(troubles: Mapping[str, NoriaError]) -> dict[str, tuple[list[str], NoriaError]]:
    """What failed, by what it is about, with the stages that met it: a catalog that is locked is one finding, not one of each stage."""
    found: dict[str, tuple[list[str], NoriaError]] = {}
    for stage, error in troubles.items():
        found.setdefault(error.about or stage, ([], error))[0].append(stage)
    return found


def tell(catalog: Catalog, project: Project, now: datetime) -> Sent:
    """Send people what waits for them, and the day's digest when it is time."""
    settings = project.settings.alerts
    opened: dict[str, Channel] = {}

    def channel(name: str) -> Channel:
        if name not in opened:
            opened[name] = open_channel(name, settings)
        return opened[name]

    if settings.digest_hour is not None and now.hour >= settings.digest_hour:
        for endpoint in project.endpoints:
            digest(catalog, endpoint.name, now, Recipients(tuple(settings.channels)))
    return send_due(catalog, channel, now, settings.per_hour)


@dataclass(frozen=True)
class Watched:
    """What the watcher saw. dead: the stages that stand still, and why that is said"""

    beats: list[Beat]
    stalled: dict[str, str]
    sent: Sent


def watch(project: Project, workspace: Workspace, now: datetime, period: timedelta) -> Watched:
    """Look whether every stage lives, tell people what does not, and say that the watcher itself does."""
    recipients = Recipients(tuple(project.settings.alerts.channels))
    with closing(workspace.catalog()) as catalog:
        signs = [b for b in beats(workspace.root, workspace.files) if b.stage != WATCH]
        served = any(latest_release(catalog, endpoint.name) is not None for endpoint in project.endpoints)
        never = served and not any(b.stage == LOOP for b in signs)
        stalled = {LOOP: "it has never run here; run `noria loop --forever`"} if never else {}
        stalled |= stalled_stages(signs, now, duration(project.settings.loop.longest))
        _tell_stalled(catalog, stalled, now, recipients, only=[b.stage for b in signs])
        sent = tell(catalog, project, now)
    patient = max(period, timedelta(seconds=PATIENCE_SECONDS))  # so long it may have to wait for the catalog
    beat(workspace.root, WATCH, now, patient, {"stages": len(signs), "stalled": list(stalled)}, workspace.files)
    return Watched(signs, stalled, sent)


def stalled_stages(signs: Sequence[Beat], now: datetime, longest: timedelta) -> dict[str, str]:
    """The stages that stand still, and why that is said."""
    return {**_late(signs, now), **_stuck(signs, now, longest)}


def _late(signs: Sequence[Beat], now: datetime) -> dict[str, str]:
    """The stages whose sign of life is overdue."""
    return {
        b.stage: f"last heartbeat at {b.at:%Y-%m-%d %H:%M:%S} UTC; one is expected every {in_words(b.period)}" for b in signs if b.late(now)
    }


def _stuck(signs: Sequence[Beat], now: datetime, longest: timedelta) -> dict[str, str]:
    """The stages that live and don't get on."""
    found = {}
    for b in signs:
        doing, since = b.saw.get("doing", WAITING), b.saw.get("since")
        if doing != WAITING and since is not None and now - datetime.fromisoformat(since) > longest:
            found[b.stage] = f"it has been running {doing} since {since[:16]} UTC; the limit is {in_words(longest)}"
        if b.saw.get("ready", 1) == 0:
            found[b.stage] = f"none of its {b.saw.get('workers')} workers responds"
    return found


def _tell_stalled(catalog: Catalog, stalled: Mapping[str, str], now: datetime, recipients: Recipients, only: Sequence[str]) -> None:
    """Open a finding for every stage that stands still, and close those of stages that live again."""
    for stage, why in stalled.items():
        fix = f"restart it; if it was stopped on purpose, run `noria watch --forget {stage}`"
        finding = Finding("stalled", stage, now, "page", f"{stage} has stalled: {why}", fix, {"why": why})
        open_finding(catalog, PROJECT, finding, now, recipients)
    close_findings(catalog, PROJECT, "stalled", list(stalled), now, recipients, of=only)
