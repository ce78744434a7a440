"""History: what a replay has found out becomes what a project without a live past knows, and its loop begins from there.

Between the end of the replay and the moment it was taken over lies a gap, of which nothing is known: no window of it is measured. Until a
row becomes known, a request is answered or a person trains, there is nothing to observe either: the project is history, and says so.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from noria.loop.aliases import set_aliases
from noria.loop.context import EndpointContext
from noria.release.releases import latest_release
from noria.serving.log.segments import anything_logged
from noria.stores.catalog import PATIENCE_SECONDS
from noria.stores.copying import copy_endpoint
from noria.stores.decisions import was_decided
from noria.stores.history import History, history_of, keep_history
from noria.stores.progress import set_progress


def is_history(context: EndpointContext, now: datetime) -> bool:
    """Whether nothing has happened at an endpoint since it took over what a replay had found out."""
    past = history_of(context.stores.catalog, context.endpoint.name)
    return (
        past is not None and not _lived_on(context, past) and _newest(context) == past.newest and not _answered(context, past.taken_at, now)
    )


def take_over(replayed: EndpointContext, home: EndpointContext, until: datetime, now: datetime) -> bool:
    """Have an endpoint's home know what a replay has found out, unless it has a past of its own; returns whether it now does.

    Taken over again, it is as if it had been taken over once: a longer replay replaces a shorter one.
    """
    past = history_of(home.stores.catalog, home.endpoint.name)
    if (past is None and was_decided(home.stores.catalog, home.endpoint.name)) or (past is not None and _lived_on(home, past)):
        return False
    for path in sorted(p for p in replayed.stores.log_folder.rglob("*") if p.is_file()):
        target = home.stores.log_folder / path.relative_to(replayed.stores.log_folder)
        home.stores.workspace.files.make_folder(target.parent)
        home.stores.workspace.files.write(target, home.stores.workspace.files.read(path))
    newest = _newest(home)  # which asks the catalog, and may write to it: no part of the transaction below
    home.stores.catalog.take_lease(PATIENCE_SECONDS)
    with home.stores.catalog.transaction() as c:
        copy_endpoint(c, replayed.stores.catalog, home.endpoint.name)
        set_progress(c, f"windows/{home.endpoint.name}", home.grid.floor(now))
        keep_history(c, home.endpoint.name, History(until, now, newest))
    home.stores.catalog.release_lease()
    release = latest_release(home.stores.catalog, home.endpoint.name)
    if release is not None:
        set_aliases(home, release.champion, release.challenger)
    return True


def _newest(context: EndpointContext) -> dict[str, int]:
    found = {name: context.known.of(name).last for name in context.facts.tables}
    return {name: last for name, last in found.items() if last is not None}


def _lived_on(context: EndpointContext, past: History) -> bool:
    return was_decided(context.stores.catalog, context.endpoint.name, past.taken_at)


def _answered(context: EndpointContext, since: datetime, now: datetime) -> bool:
    return anything_logged(context.stores.log_folder, since, now + timedelta(days=1), context.stores.workspace.files)
