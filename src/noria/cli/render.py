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


def show_status(found: Mapping[str, Any]) -> None:
    """What `noria` and `noria status` print."""
    out = console()
    out.print(f"[bold]{found['project']}[/]  [dim]{found['folder']}[/]")
    out.print(f"\n{MARKS[found['health']['health']]} {_why(found['health'])}")
    _tables(out, found["tables"])
    for endpoint in found["endpoints"]:
        _endpoint(out, endpoint)
    _sums(out, found["conservation"])
    out.print(f"\nnext: [bold]{found['next']}[/]")


def show_explanation(found: Mapping[str, Any]) -> None:
    """What `noria explain` prints."""
    out = console()
    p, bundle, run = found["prediction"], found["bundle"], found["run"]
    out.print(f"[bold]{p['read']['value']}[/]  prediction {p['id']} of endpoint {p['endpoint']} as {p['variant']}")
    out.print(f"  received {p['received_at']} for {p['key'] or 'an unnamed row'}; outcome: {p['read']['outcome']}")
    released = found["released_by"]
    out.print(
        f"  bundle   {bundle['id'][:12]} (verified)" + (f", champion since {released['at'][:10]}: {released['reason']}" if released else "")
    )
    out.print(f"  run      {run['id'][:12]}, MLflow {run['mlflow']}, as of {run['as_of']}")
    out.print(f"  trained  on {run['rows']['rows_out']['training rows']:,} rows, training set {run['training_set'][:12]}")
    out.print(f"  features definitions {found['definition_hash'][:12]}")
    for table in found["tables"]:
        out.print(f"  table    {table['table']} version {table['version']} ({table['rows']:,} rows, {table['digest'][:12]})")
    grid = _grid("feature", "value", "from", "definition")
    for f in found["features"]:
        value = "unknown" if f["value"] is None else f"{f['value']:g}"
        grid.add_row(f["name"], value, f["view"] or f["table"], f["definition"])
    out.print(grid)


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
    grid = _grid("feature", "view", "differ", "share", "example", "served", "offline")
    for f in differing:
        e = f.example or {}
        grid.add_row(
            f.feature,
            f.view or "request",
            f"{f.differing:,}",
            f"{f.share:.2%}",
            str(e.get("key")),
            _value(e.get("served")),
            _value(e.get("offline")),
        )
    out.print(grid)


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
        grid = _grid("feature", "definition", "null", "min", "median", "max")
        for f in view["features"]:
            share = "" if f["null_share"] is None else f"{f['null_share']:.1%}"
            grid.add_row(f["feature"], f["definition"], share, *(_value(f[k], "") for k in ("least", "median", "greatest")))
        out.print(grid)
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
    grid = _grid("policy", *(metric["title"] for metric in metrics), "retrainings", "training")
    for name, p in figures["policies"].items():
        grid.add_row(name, *(f"{p[metric['name']]:.4f}" for metric in metrics), str(p["retrainings"]), f"{p['seconds']:.0f} s")
    out.print(grid)


def show_weeks(figures: Mapping[str, Any]) -> None:
    """The weekly figures of a replay."""
    grid = _grid("week", "from", "rows", figures["observed"], *figures["policies"])
    for w in figures["weeks"]:
        losses = [f"{w[figures['metric']['name']][name]:.4f}" for name in figures["policies"]]
        grid.add_row(str(w["week"]), w["start"][:10], f"{w['rows']:,}", f"{w['base_rate']:.3f}", *losses)
    console().print(grid)


def show_decision(policy: str, at: datetime, verb: str, reason: str) -> str:
    """One decision as a line."""
    colour = {"promote": "green", "refuse": "red", "train": "blue"}.get(verb, "white")
    return f"{at:%Y-%m-%d}  {policy:<9}[{colour}]{verb:<8}[/] {reason}"


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
    out = console()
    if not found["findings"]:
        out.print("[green]●[/] no open findings; `noria status` shows what was checked")
    for f in found["findings"]:
        over = "" if f["closed_at"] is None else f" [dim]closed {f['closed_at'][:16]}, {f['closed_by'] or 'automatically'}[/]"
        taken = f" [yellow]acknowledged by {f['acknowledged_by']}[/]" if f["acknowledged_by"] else ""
        mark = "[red]●[/]" if f["severity"] == "page" else "[yellow]●[/]"
        out.print(f"{mark} [bold]{f['kind']}[/] {f['summary']}{taken}{over}")
        out.print(f"  [dim]opened {f['opened_at'][:16]}, since {(f['since'] or f['opened_at'])[:16]}; {f['key']}[/]")
    for channel, trouble in found["undelivered"].items():
        out.print(f"[red]●[/] {trouble['waiting']} alerts pending for {channel} since {trouble['since'][:16]}; {trouble['why']}")


def show_backtest(done: Backtested) -> None:
    """What `noria monitor backtest` prints."""
    out = console()
    out.print(
        f"{len(done.alarms)} alarms in {done.years:.2f} years, {done.judged_from:%-d %b %Y} to {done.judged_to:%-d %b %Y}; "
        f"[bold]{done.outside_per_year:.1f} per year[/] match no known incident"
    )
    grid = _grid("alarm", "duration", "main column", "looks like", "incident", "delay")
    for a in done.alarms:
        late = "" if a.delay is None else f"{a.delay.total_seconds() / 86_400:.1f} d"
        grid.add_row(f"{a.at:%Y-%m-%d}", f"{a.lasted.total_seconds() / 86_400:.0f} d", a.column, a.summary, a.incident or "", late)
    out.print(grid)
    for name in done.missed:
        out.print(f"[red]●[/] missed: {name}")
    if done.suggestion is not None:
        grid = _grid("sensitivity", "false alarms per year", "upper bound (90 %)")
        for sensitivity, (mean, upper) in done.suggestion.alarms.items():
            grid.add_row(str(sensitivity), f"{mean:.2f}", f"{upper:.2f}")
        out.print(grid)
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
    grid = _grid("since", "ended", "kind", "summary")
    for f in found["findings"]:
        over = "[bold]ongoing[/]" if f["over"] is None else f["over"][:10]
        grid.add_row(f["since"][:10], over, f["kind"], escape(f["summary"]))
    if found["findings"]:
        out.print(grid)
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


def _tables(out: Any, tables: list[dict[str, Any]]) -> None:
    grid = _grid("table", "version", "rows", "quarantined")
    for t in tables:
        rows = "never ingested" if t["rows"] is None else f"{t['rows']:,}"
        bad = f"{t['quarantined']:,}" + (f" ({'; '.join(t['reasons'])})" if t["reasons"] else "")
        grid.add_row(t["name"], "" if t["version"] is None else str(t["version"]), rows, bad)
    out.print(grid)


def _endpoint(out: Any, e: Mapping[str, Any]) -> None:
    if e["champion"] is None:
        out.print(f"endpoint [bold]{e['name']}[/]: [yellow]unknown[/], {e['health']['why']}")
        return
    out.print(
        f"endpoint [bold]{e['name']}[/]: champion {e['champion'][:12]} since {e['since'][:10]}, trained as of {e['trained_as_of'][:10]}"
        + (f"; {e['challenger'][:12]} in shadow" if e["challenger"] else "")
    )
    if e["history"]:
        out.print(f"  [cyan]history[/] replayed until {e['history']['until'][:10]}; nothing has happened since")
    for m in e["monitors"]:
        out.print(f"  {MARKS[m['health']]} {m['monitor']}: {_why(m)}")
    for d in e["decisions"]:
        out.print(f"  [dim]{d['time'][:10]}[/] {d['action']:<8} {d['reason']}")


def _sums(out: Any, sums: list[dict[str, Any]]) -> None:
    if not sums:
        return
    out.print("\nrows in = rows out")
    for s in sums:
        mark = "[green]✓[/]" if s["holds"] else "[red]✗[/]"
        rows_out = " + ".join(f"{count:,} {name}" for name, count in s["rows_out"].items())
        out.print(f"  {mark} {s['stage']}: {s['rows_in']:,} = {rows_out}")


def _why(health: Mapping[str, Any]) -> str:
    if health["health"] == "healthy":
        facts = ", ".join(f"{k.replace('_', ' ')} {v:,.6g}" for k, v in health["evidence"].items())
        return f"healthy ({facts})"
    return f"{health['health']}: {health.get('cause') or health.get('why')}"


def _grid(*columns: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for column in columns:
        grid.add_column(column)
    return grid


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
    out.print(f"before  {before['prediction']:.6g}  by bundle {before['bundle'][:12]}")
    if now["prediction"] is None:
        out.print(f"now     [red]{now['status']}: {now['error']}[/]")
        return
    out.print(f"now     {now['prediction']:.6g}  by bundle {now['bundle'][:12]}, prediction {now['id']}")
    if found["same"]:
        out.print("[green]●[/] the same answer")
    else:
        out.print(f"[yellow]●[/] a different answer: {now['prediction'] - before['prediction']:+.3g}")


def show_captured_again(found: Mapping[str, Any]) -> None:
    """What `noria replay-request FILE` prints."""
    out = console()
    out.print(f"{found['same']:,} of {found['requests']:,} captured requests get the same answers")
    for one in found["different"][:20]:
        out.print(f"  [yellow]line {one['line']}[/] {one['path']}: {one['before']['status']} {one['before']['answer'][:80]}")
        out.print(f"           now {one['now']['status']} {one['now']['answer'][:80]}")
