"""Skew of an endpoint: the features of its logged predictions against those that the definitions give."""

from __future__ import annotations

from datetime import datetime, timedelta

from noria.core.errors import UserMistake
from noria.features.skew import Skew
from noria.loop.project import Project
from noria.models.registry import CHAMPION
from noria.monitoring.served_skew import logged_skew
from noria.release.endpoint import Endpoint
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import SEGMENTS, SPAN, read_log
from noria.stores.workspace import Workspace

RECENT = timedelta(days=7)


class NothingLogged(UserMistake):
    """No prediction of an endpoint is logged in the period that was asked for."""

    code = "NR-602"

    def __init__(self, endpoint: str, start: datetime, end: datetime) -> None:
        self.endpoint = endpoint
        super().__init__(
            what=f"no prediction of endpoint {endpoint!r} is logged in that period",
            where=f"from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC",
            fix="choose another period with --since, or serve some requests",
        )


def endpoint_skew(project: Project, workspace: Workspace, endpoint: Endpoint, until: datetime, period: timedelta = RECENT) -> Skew:
    """The skew of what an endpoint's champions were served in the last `period` of the log before `until`, each by its own definitions.

    Raises `NothingLogged`, and `SignatureMismatch` or `LostDefinition` where a champion's features can't be computed any more. Predictions
    without a key can't be recomputed and count as unknown keys.
    """
    logged = latest_logged(workspace, endpoint, until, period)
    return logged_skew(workspace, endpoint.model.features, project.tables, project.transforms, logged)


def latest_logged(workspace: Workspace, endpoint: Endpoint, until: datetime, period: timedelta) -> Predictions:
    """The champions' predictions in the last `period` of the log before `until`."""
    folder = workspace.log(endpoint.name)
    days = [path.name[:10] for path in workspace.files.list(folder, SEGMENTS)]
    if not days:
        raise NothingLogged(endpoint.name, until - period, until)
    last = datetime.fromisoformat(f"{max(days)}T00:00:00+00:00") + SPAN  # a segment is named by the day of its first row
    logged = read_log(folder, last - SPAN - period, min(last + SPAN, until), workspace.files)
    if logged is None:
        raise NothingLogged(endpoint.name, until - period, until)
    newest = int(logged.received_us.max())
    recent = logged.received_us > newest - period // timedelta(microseconds=1)
    return logged.where(recent).by(CHAMPION)
