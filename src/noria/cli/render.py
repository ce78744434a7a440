"""How results and errors look on a terminal. Results go to stdout, talk to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from noria.core.errors import NoriaError

if TYPE_CHECKING:
    from noria.data.ingest import Checked, Ingested
    from noria.features.skew import Skew
    from noria.loop.state import Action
    from noria.monitoring.feature_backtest import Backtested
    from noria.serving.load import Loaded

SHOWN = 120  # characters of a value
MARKS = {"healthy": "[green]●[/]", "unhealthy": "[red]●[/]", "unknown": "[yellow]●[/]"}


def show_json(value: Any) -> None:
    """One JSON document on stdout, for programs."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def show_error(error: NoriaError, *, as_json: bool) -> None:
    """An error: three lines on stderr, or one JSON document on stdout."""
    if as_json:
        show_json({"error": error.to_dict()})
        return
    for line in error.lines():
        sys.stderr.write(line + "\n")


def console() -> Any:
    """The terminal, for results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def show_explanation(found: Mapping[str, Any]) -> None:
    """What `noria explain` prints."""
    from rich.markup import escape

    out = console()
    p, bundle, run = found["prediction"], found["bundle"], found["run"]
    out.print(f"[bold]{escape(p['read']['value'])}[/]  prediction {p['id']} of endpoint {p['endpoint']} as {p['variant']}")
    out.print(f"  received {p['received_at']} for {p['key'] or 'an unnamed row'}; outcome: {p['read']['outcome']}")
    released = found["released_by"]
    out.print(
        f"  bundle   {bundle['id'][:12]} (verified)" + (f", champion since {released['at'][:10]}: {released['reason']}" if released else "")
    )
    if run is None:
        file = found["file"]
        out.print(f"  file     {escape(str(file['name']))}, {file['kind']}, saved {file['saved_at']}, SHA-256 {str(file['sha256'])[:12]}")
    else:
        out.print(f"  run      {run['id'][:12]}, MLflow {run['mlflow']}, as of {run['as_of']}")
    if run is not None and run["rows"]:  # a model that was not trained here has none
        out.print(f"  trained  on {run['rows']['rows_out']['training rows']:,} rows, training set {run['training_set'][:12]}")
    if run is not None:
        out.print(f"  features definitions {found['definition_hash'][:12]}")
        for report in run.get("reports", []):  # a model file has none
            out.print(f"  gates    {escape(report['title'])}: {escape(report['path'])}")
    for table in found["tables"]:
        out.print(f"  table    {table['table']} version {table['version']} ({table['rows']:,} rows, {table['digest'][:12]})")
    table = grid("feature", "value", "from", "definition")
    for f in found["features"]:
        shown = "unknown" if f["value"] is None else escape(_shown(f["value"], ":g"))
        table.add_row(f["name"], shown, f["view"] or f["table"] or "", f["definition"])
    out.print(table)


def show_ingested(done: Sequence[Ingested]) -> None:
    """What became of the rows of each table."""
    out = console()
    for d in done:
        rows_out = ", ".join(f"{count:,} {name}" for name, count in d.balance.rows_out.items())
        out.print(f"{d.snapshot.table}: {d.balance.rows_in:,} rows read = {rows_out}; version {d.snapshot.version}")
        for change in d.changes:
            out.print(f"  [cyan]columns[/] {change}")
        _show_refused(d, "quarantined", " (it will be retried next time)")


def show_declared(project: str, tables: Sequence[Mapping[str, Any]], found: dict[str, Any]) -> None:
    """What a project declares, one line each."""
    from rich.markup import escape

    from noria.evidence.declared import headline, lines

    out = console()
    out.print(escape(headline(project, len(tables), found)))
    for table in tables:
        out.print(f"  [dim]table[/]        {escape(table['name'])}: {table['rows']:,} rows")
    for kind, name, (summary, *lacking) in lines(found):
        out.print(f"  [dim]{kind:<12}[/] {escape(name)}: {escape(summary)}" + "".join(f"; [yellow]{each}[/]" for each in lacking))


def show_checked(checked: Mapping[str, Checked]) -> None:
    """What would become of the rows of each table, where some would be refused."""
    out = console()
    for table, found in checked.items():
        if found.reasons or found.warnings or found.unreadable:
            out.print(f"  {table}: {found.rows_in:,} rows read")
            _show_refused(found, "would be quarantined")


def _show_refused(found: Ingested | Checked, quarantined: str, then: str = "") -> None:
    out = console()
    for reason, rows in found.reasons.items():
        out.print(f"  [yellow]{quarantined}[/] {rows:,}: {reason}")
    for reason, rows in found.warnings.items():
        out.print(f"  [yellow]warning[/] {reason} ({rows:,} rows)")
    for path, reason in found.unreadable.items():
        out.print(f"  [red]unreadable[/] {path}: {reason}{then}", soft_wrap=True)


def show_skew(skew: Skew) -> None:
    """What `noria skew` prints."""
    out = console()
    unknown = f"; {skew.unknown_keys:,} more have keys that are not in the spine" if skew.unknown_keys else ""
    out.print(f"{skew.rows:,} logged predictions recomputed{unknown}")
    differing = sorted((f for f in skew.features if f.differing), key=lambda f: -f.share)
    if not differing:
        out.print("[green]●[/] every feature equals its offline value" if skew.rows else "[yellow]●[/] unknown: nothing could be compared")
        return
    for view, share in sorted(skew.by_view().items(), key=lambda pair: -pair[1]):
        if share:
            out.print(f"[red]●[/] {view}: up to {share:.2%} of its values differ")
    table = grid("feature", "view", "differ", "share", "example", "served", "offline")
    for f in differing:
        e = f.example or {}
        table.add_row(
            f.feature,
            f.view or "request",
            f"{f.differing:,}",
            f"{f.share:.2%}",
            str(e.get("key")),
            _value(e.get("served")),
            _value(e.get("offline")),
        )
    out.print(table)


def show_feature_catalog(found: Mapping[str, Any]) -> None:
    """What `noria features` prints."""
    out = console()
    for view in found["views"]:
        readers = ", ".join(view["read_by"]) or "[yellow]none (unused)[/]"
        out.print(f"[bold]{view['view']}[/]  by {', '.join(view['entity'])} from {view['table']}; read by {readers}")
        if view["description"] or view["owner"]:
            out.print(f"  {view['description']}" + (f" [dim](owner: {view['owner']})[/]" if view["owner"] else ""))
        online = view["online"]
        state = "not materialized" if online["through"] is None else f"online through {online['through'][:16]}"
        stale = f", [yellow]{online['stale']:,} entities stale[/]" if online["stale"] else ""
        out.print(f"  [dim]freshness {view['freshness'] or 'immediate'}, ttl {view['ttl'] or 'none'}; {state}[/]{stale}")
        table = grid("feature", "definition", "null", "min", "median", "max")
        for f in view["features"]:
            share = "" if f["null_share"] is None else f"{f['null_share']:.1%}"
            table.add_row(f["feature"], f["definition"], share, *(_value(f[k], "") for k in ("least", "median", "greatest")))
        out.print(table)
    for made in found["training_sets"]:
        if made["changed"]:
            out.print(
                f"[yellow]●[/] training set {made['training_set'][:12]} as of {made['as_of'][:10]} would differ now: rows arrived late"
            )


def _value(value: Any, unknown: str = "unknown") -> str:
    """A value of a feature: a fraction in few digits, anything else as JSON has it."""
    if value is None:
        return unknown
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def show_figures(figures: Mapping[str, Any]) -> None:
    """The figures of a replay, by policy."""
    out = console()
    metrics = [metric for metric in (figures["metric"], figures["discrimination"]) if metric]
    table = grid("policy", *(metric["title"] for metric in metrics), "retrainings", "training")
    for name, p in figures["policies"].items():
        table.add_row(name, *(f"{p[metric['name']]:.4f}" for metric in metrics), str(p["retrainings"]), f"{p['seconds']:.0f} s")
    out.print(table)


def show_weeks(figures: Mapping[str, Any]) -> None:
    """The weekly figures of a replay."""
    table = grid("week", "from", "rows", figures["observed"], *figures["policies"])
    for w in figures["weeks"]:
        losses = [f"{w[figures['metric']['name']][name]:.4f}" for name in figures["policies"]]
        table.add_row(str(w["week"]), w["start"][:10], f"{w['rows']:,}", w["observed"], *losses)
    console().print(table)


def show_decision(policy: str, at: datetime, verb: str, reason: str) -> str:
    """One decision as a line."""
    colour = {"promote": "green", "refuse": "red", "train": "blue"}.get(verb, "white")
    return f"{at:%Y-%m-%d}  {policy:<8} [{colour}]{verb:<8}[/] {reason}"


def show_actions(
    actions: Sequence[Action], troubles: Mapping[str, NoriaError], trained: Mapping[str, Mapping[str, Any]], *, as_json: bool
) -> None:
    """What the controller did, what its trainings gave (by the actions' keys), and the stages that failed."""
    if as_json:
        show_json([_action(a, trained) for a in actions])
        return
    for action in actions:
        console().print(show_decision(action.endpoint, action.at, action.verb, action.reason))
        if action.key in trained:
            show_trained(trained[action.key])
    for stage, error in troubles.items():
        console().print(f"[red]{stage} failed[/]: {error.what}")
    if not actions and not troubles:
        console().print("nothing to do")


def _action(action: Action, trained: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found = {"time": action.at.isoformat(), "action": action.verb, "subject": action.subject, "reason": action.reason}
    return found | ({"trained": trained[action.key]} if action.key in trained else {})


def show_trained(told: Mapping[str, Any]) -> None:
    """A candidate's quality and its gates."""
    from rich.markup import escape

    from noria.evidence.training import lines

    colours = {"gate failed": "[red]", "gate unknown": "[yellow]", "gate passed": "[green]"}
    for line in lines(told):
        mark = next((colour for begin, colour in colours.items() if line.startswith(begin)), "[dim]")
        console().print(f"            {mark}{escape(line)}[/]")


def show_findings(found: Mapping[str, Any]) -> None:
    """What `noria findings list` prints."""
    from rich.markup import escape

    out = console()
    if not found["findings"]:
        out.print("[green]●[/] no open findings; `noria status` shows what was checked")
    for f in found["findings"]:
        over = "" if f["closed_at"] is None else f" [dim]closed {f['closed_at'][:16]}, {f['closed_by'] or 'automatically'}[/]"
        taken = f" [yellow]acknowledged by {f['acknowledged_by']}[/]" if f["acknowledged_by"] else ""
        mark = "[red]●[/]" if f["severity"] == "page" else "[yellow]●[/]"
        out.print(f"{mark} [bold]{f['kind']}[/] {escape(f['summary'])}{taken}{over}")
        if f["fix"] and f["closed_at"] is None:
            out.print(f"  [bold]→[/] {escape(f['fix'])}")
        strong = f", {f['strength']}" if f["strength"] else ""
        out.print(f"  [dim]opened {f['opened_at'][:16]}, since {(f['since'] or f['opened_at'])[:16]}{strong}; {escape(f['key'])}[/]")
    for channel, trouble in found["undelivered"].items():
        out.print(f"[red]●[/] {trouble['waiting']} alerts pending for {channel} since {trouble['since'][:16]}; {trouble['why']}")


def show_backtest(done: Backtested) -> None:
    """What `noria monitor backtest` prints."""
    out = console()
    out.print(
        f"{len(done.alarms)} alarms in {done.years:.2f} years, {done.judged_from:%-d %b %Y} to {done.judged_to:%-d %b %Y}; "
        f"[bold]{done.outside_per_year:.1f} per year[/] match no known incident"
    )
    table = grid("alarm", "duration", "main column", "looks like", "incident", "delay")
    for a in done.alarms:
        late = "" if a.delay is None else f"{a.delay.total_seconds() / 86_400:.1f} d"
        table.add_row(f"{a.at:%Y-%m-%d}", f"{a.lasted.total_seconds() / 86_400:.0f} d", a.column, a.summary, a.incident or "", late)
    out.print(table)
    for name in done.missed:
        out.print(f"[red]●[/] missed: {name}")
    if done.suggestion is not None:
        table = grid("sensitivity", "false alarms per year", "upper bound (90 %)")
        for sensitivity, (mean, upper) in done.suggestion.alarms.items():
            table.add_row(str(sensitivity), f"{mean:.2f}", f"{upper:.2f}")
        out.print(table)
        best = done.suggestion.best
        told = f"[bold]sensitivity={best:g}[/]" if best is not None else "none; use a larger budget"
        out.print(f"suggested for {done.suggestion.budget:g} false drift alarms per year: {told}")


def show_table(found: Mapping[str, Any]) -> None:
    """What `noria monitor table` prints."""
    from rich.markup import escape

    from noria.evidence.table_report import headline

    out = console()
    state = "unhealthy" if found["wrong_now"] else "healthy" if found["judged"]["windows"] else "unknown"
    out.print(f"{MARKS[state]} {escape(headline(found))}")
    reference, judged = found["reference"], found["judged"]
    against = f"against {reference['windows']} from {reference['since'][:10]}"
    out.print(f"[dim]{found['rows']:,} rows; {judged['windows']} windows of {found['every']} {against}[/]")
    table = grid("since", "ended", "kind", "summary")
    for f in found["findings"]:
        over = "[bold]ongoing[/]" if f["over"] is None else f["over"][:10]
        table.add_row(f["since"][:10], over, f["kind"], escape(f["summary"]))
    if found["findings"]:
        out.print(table)
    unseen = [f"{found['untimed']:,} rows have no timestamp"] if found["untimed"] else []
    unseen += [f"{each['summary']}: excluded" for each in found["misdated"]]
    unseen += [f"{found['waiting']:,} rows wait until their window is complete"] if found["waiting"] else []
    unseen += [f"{found['not_rows']:,} lines are malformed records"] if found["not_rows"] else []
    unseen += [f"{path} can't be read: {why}" for path, why in found["unreadable"].items()]
    unseen += [f"not checked: {name}" for name in found["left_out"]]
    unseen += [f"{name} {why}" for name, why in found["unjudged"].items()]
    unseen += [f"the file seems to have only a part of the window of {start[:16]}: its rows are not counted" for start in found["parts"]]
    for each in unseen:
        out.print(f"{MARKS['unknown']} {escape(each)}")


def show_watched(told: Mapping[str, Any]) -> None:
    """What one look of `noria watch` prints."""
    out = console()
    for stage in told["stages"]:
        said = stage["stalled"] or f"last heartbeat {stage['at'][:19]} UTC"
        out.print(f"{MARKS['unhealthy' if stage['stalled'] else 'healthy']} {stage['stage']}: {said}")
    if not told["stages"]:
        out.print("[yellow]●[/] unknown: no stage has ever sent a heartbeat here")
    for channel, why in told["failing"].items():
        out.print(f"[red]●[/] alerts for {channel} are pending: {why}")


def grid(*columns: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    found = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for column in columns:
        found.add_column(column)
    return found


def show_serving(begun: dict[str, Any]) -> None:
    """What `noria serve` serves, and where."""
    out = console()
    workers = len(begun["writers"])
    out.print(f"serving on [bold]{begun['url']}[/] with {workers} worker{'s' * (workers > 1)}; Ctrl-C stops it")
    for name, bundle in begun["endpoints"].items():
        out.print(f"  POST {begun['url']}/predict/{name}   [dim]bundle {bundle[:12]}[/]")
    if begun["grpc_port"] is not None:
        out.print(f"  gRPC on {begun['host']}:{begun['grpc_port']}   [dim]inference.GRPCInferenceService, health, reflection[/]")
    out.print(f"  [dim]GET  {begun['admin_url']}/status, /metrics, /v2/health/ready[/]")


def show_loaded(found: Loaded) -> None:
    """What `noria load` prints."""
    out = console()
    rate = found.to_dict()["rate"]
    out.print(f"{found.answered:,} of {found.asked:,} requests answered in {found.seconds:.1f} s: [bold]{rate:,.0f} per second[/]")
    out.print("  " + ", ".join(f"{count:,} with {status}" for status, count in sorted(found.statuses.items())))
    if found.unanswered:
        out.print(f"  [red]{found.unanswered:,} unanswered[/]")
    out.print("  latency from each request's due time: " + ", ".join(f"{name} {value:,.2f} ms" for name, value in found.latency_ms.items()))
    if found.late_ms > 1:
        out.print(f"  [yellow]the generator itself was up to {found.late_ms:,.1f} ms late (p99): part of the latency is its own[/]")


def show_again(found: Mapping[str, Any]) -> None:
    """What `noria replay-request ID` prints."""
    out = console()
    before, now = found["before"], found["now"]
    out.print(f"before  {_shown(before['prediction'])}  by bundle {before['bundle'][:12]}")
    if now["prediction"] is None:
        out.print(f"now     [red]{now['status']}: {now['error']}[/]")
        return
    out.print(f"now     {_shown(now['prediction'])}  by bundle {now['bundle'][:12]}, prediction {now['id']}")
    if found["same"]:
        out.print("[green]●[/] the same answer")
    else:
        numbers = isinstance(now["prediction"], float) and isinstance(before["prediction"], float)
        by = f": {now['prediction'] - before['prediction']:+.3g}" if numbers else ""
        out.print(f"[yellow]●[/] a different answer{by}")


def _shown(value: Any, digits: str = ".6g") -> str:
    """A value of a feature or an answer: a number in short, anything else as JSON, and not too much of it."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return format(value, digits.removeprefix(":"))
    if isinstance(value, str):
        return value[:SHOWN]
    found = json.dumps(value, ensure_ascii=False, default=str)
    return found if len(found) <= SHOWN else f"{found[:SHOWN]}…"


def show_captured_again(found: Mapping[str, Any]) -> None:
    """What `noria replay-request FILE` prints."""
    out = console()
    out.print(f"{found['same']:,} of {found['requests']:,} captured requests get the same answers")
    for one in found["different"][:20]:
        out.print(f"  [yellow]line {one['line']}[/] {one['path']}: {one['before']['status']} {one['before']['answer'][:80]}")
        out.print(f"           now {one['now']['status']} {one['now']['answer'][:80]}")
